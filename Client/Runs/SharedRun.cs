using System.Globalization;
using System.Text.Json;
using Fleet.Client.Load;
using Fleet.Client.Scenarios;
using Fleet.Grains;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Silo.Cluster;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;
using Orleans.Runtime;

namespace Fleet.Client.Runs;

/// <summary>What a generator needs to make its share of a run, or to go on with one that was cut off.</summary>
/// <param name="Scenario">Name or path; every generator reads it for itself.</param>
/// <param name="KeepGoing">Go on after a finding that decides the verdict.</param>
public sealed record SharedPlan(string Scenario, RunOptions Options, bool KeepGoing = false)
{
    /// <summary>The others make load; faults are the first one's to inject.</summary>
    public SharedPlan ForOthers() => this with { Options = Options with { Faults = null } };
}

/// <summary>What the other generators of a run came to.</summary>
/// <param name="Lost">Sentences about those that were not heard to the end.</param>
internal sealed record OtherGenerators(
    IReadOnlyList<GeneratorReport> Reports, long OperationsRecovered, IReadOnlyList<string> Lost)
{
    public static readonly OtherGenerators None = new([], 0, []);
}

/// <summary>One generator's part in a run that several share: the common start, orders, last words.</summary>
internal sealed class SharedRun(IRunGrain run, int number, LoadGenerator generator)
{
    private static readonly TimeSpan TellInterval = TimeSpan.FromMilliseconds(500);

    /// <summary>How long a run may be without the silo that keeps it.</summary>
    private static readonly TimeSpan SiloPatience = TimeSpan.FromSeconds(60);

    private long _operations;
    private long _toldNs = MonotonicNs.Now;

    /// <summary>Waits until every generator could begin.</summary>
    public async Task AwaitStartAsync(CancellationToken ct)
    {
        while (!await PatientlyAsync(() => run.Ready(number), ct))
            ct.ThrowIfCancellationRequested();
    }

    /// <summary>Asks again while the silo of the run is away: another one takes it over.</summary>
    /// <param name="mayAnswer">False once there is no sense in asking again.</param>
    /// <param name="patience">A minute where nothing is said.</param>
    public static async Task<T> PatientlyAsync<T>(
        Func<ValueTask<T>> ask, CancellationToken ct, Func<bool>? mayAnswer = null, TimeSpan? patience = null)
    {
        var began = TimeProvider.System.GetTimestamp();
        while (true)
        {
            try
            {
                return await ask();
            }
            catch (Exception e) when (
                LostCall.Is(e, ct)
                && TimeProvider.System.GetElapsedTime(began) < (patience ?? SiloPatience)
                && mayAnswer?.Invoke() is not false)
            {
                await Task.Delay(TellInterval, ct);
            }
        }
    }

    /// <summary>Tells the run what this generator does, and does what it is ordered, until the load is over.</summary>
    public async Task FollowAsync(CancellationTokenSource stop, CancellationToken over)
    {
        using var timer = new PeriodicTimer(TellInterval);
        try
        {
            while (await timer.WaitForNextTickAsync(over))
            {
                try
                {
                    Obey(await run.Tell(Moment()), stop);
                }
                catch (Exception e) when (LostCall.Is(e, over))
                {
                    continue; // Its silo is away: the load goes on as it was ordered last.
                }
            }
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            return;
        }
    }

    /// <param name="before">What earlier processes of the share did; null for none.</param>
    public static GeneratorReport Report(
        int number, LoadGenerator generator, DrainReport stored, ShareBefore? before = null)
    {
        var counters = generator.Counters;
        return new(
            number,
            [.. counters.All().Select(one => new OutcomeCount((byte)one.Kind, (byte)one.Outcome, 0, one.Count)),
                .. LatencyRecorder.Kinds.SelectMany(kind => counters.ErrorsOf(kind).Select(error => new OutcomeCount(
                    (byte)kind, 0, (short)error.Errno, error.Count)))],
            [.. generator.Latency.All().Where(one => one.Histogram.TotalCount > 0).Select(one =>
            {
                var values = one.Histogram.RecordedValues()
                    .Select(value => (value.ValueIteratedTo, value.CountAtValueIteratedTo)).ToList();
                return new LatencyCounts(
                    one.Metric, one.Of, [.. values.Select(value => value.ValueIteratedTo)],
                    [.. values.Select(value => value.CountAtValueIteratedTo)]);
            })],
            generator.Achieved.Due,
            generator.Achieved.Sent,
            stored.OperationsAcknowledged + (before?.Operations ?? 0),
            stored.OperationsStored + (before?.Operations ?? 0),
            generator.IsDrained,
            [.. counters.Failures.Keys],
            [.. generator.Phases.Select(phase => new PhaseReport(phase.Phase, phase.Due, phase.Sent))]);
    }

    /// <summary>Adds what another generator did to this one's figures; exact.</summary>
    public static void Merge(GeneratorReport report, LoadGenerator into)
    {
        foreach (var count in report.Counts)
        {
            if (count.Err == 0)
                into.Counters.Add((OperationKind)count.Kind, (OperationOutcome)count.Outcome, count.Count);
            else
                into.Counters.Add((OperationKind)count.Kind, (Errno)count.Err, count.Count);
        }

        foreach (var latency in report.Latency)
        {
            var histogram = LatencyRecorder.Create();
            for (var place = 0; place < latency.Values.Length; place++)
                histogram.RecordValueWithCount(latency.Values[place], latency.Counts[place]);
            into.Latency.Merge(latency.Metric, latency.Of, histogram);
        }

        into.AddAchieved(report.Due, report.Sent, report.IsDrained);
        into.AddPhases(report.Phases.Select(phase => new PhaseCount(phase.Phase, phase.Due, phase.Sent)));
    }

    /// <summary>Waits until every other generator finished, or was lost and nobody follows it; stores what
    /// a lost one of this machine left behind.</summary>
    /// <param name="patience">How much later than this one another may end that is heard, and how long one that is
    /// lost may take to be followed, once there is nothing else to wait for.</param>
    /// <param name="said">Takes a sentence for whoever could bring a lost one back.</param>
    public static async Task<OtherGenerators> AwaitOthersAsync(
        IRunGrain run, IGrainFactory grains, string name, IRunWriter writer,
        (TimeSpan Heard, TimeSpan Lost) patience, Action<string> said, CancellationToken ct)
    {
        var status = await PatientlyAsync(run.Status, ct);
        using var timer = new PeriodicTimer(TellInterval);
        var began = TimeProvider.System.GetTimestamp();
        var aloneSince = began;
        var isSaid = false;
        while (Others(status).Any() && TimeProvider.System.GetElapsedTime(began) < patience.Heard)
        {
            if (Others(status).Any(one => one.State is not "lost"))
                aloneSince = TimeProvider.System.GetTimestamp();
            else if (TimeProvider.System.GetElapsedTime(aloneSince) >= patience.Lost)
                break;

            if (!isSaid && Others(status).FirstOrDefault(one => one.State is "lost") is { } lostNow)
            {
                said($"{RunNames.GeneratorOf(lostNow.Number)} ({lostNow.Process}) is lost; on its machine, "
                    + $"fleet resume {name} --store … goes on with its share.");
                isSaid = true;
            }

            await timer.WaitForNextTickAsync(ct);
            status = await PatientlyAsync(run.Status, ct);
        }

        var lost = new List<string>();
        var recovered = 0L;
        foreach (var one in Others(status))
        {
            await grains.GetGrain<ISessionGrain>(RunNames.SessionOf(one.Number)).Close();
            var spool = SpoolDirectoryOf(name, one.Number);
            var text = $"Generator {RunNames.GeneratorOf(one.Number)} ({one.Process}) was lost";
            if (Directory.Exists(spool))
            {
                var found = await SpoolDrain.RecoverAsync(spool, writer, ct);
                recovered += found.OperationsStored;
                text += string.Create(
                    CultureInfo.InvariantCulture,
                    $": its spool held {found.OperationsStored:N0} operations, which are stored, and "
                    + $"{found.OperationsUnknown:N0} that were sent, whose outcome is unknown.");
                Directory.Delete(spool, recursive: true);
            }
            else
            {
                text += ", and its spool is not on this machine: what it recorded is missing.";
            }

            lost.Add(text);
        }

        var reports = await PatientlyAsync(run.Reports, ct);
        return new([.. reports.Where(report => report.Number > 1)], recovered, lost);
    }

    /// <summary>Generators besides the first that have not finished and that nobody follows.</summary>
    private static IEnumerable<GeneratorStatus> Others(RunStatus status) =>
        status.Generators.Where(one => one.Number > 1 && one.State is not ("finished" or "followed"));

    /// <summary>Where the generators after the first keep their spools.</summary>
    public static string SpoolDirectoryOf(string run, int number) =>
        Path.Combine(Path.GetTempPath(), $"{run}.{RunNames.GeneratorOf(number)}.spool");

    public static string ToJson(SharedPlan plan) => JsonSerializer.Serialize(plan);

    public static SharedPlan FromJson(string plan) => JsonSerializer.Deserialize<SharedPlan>(plan)!;

    private GeneratorMoment Moment()
    {
        var (operations, now) = (generator.Counters.Operations, MonotonicNs.Now);
        var perSecond = (operations - _operations) * 1e9 / Math.Max(1, now - _toldNs);
        (_operations, _toldNs) = (operations, now);
        return new(
            number, generator.Clock.Current.Phase, operations, perSecond, generator.Counters.Unknown);
    }

    private void Obey(RunOrder order, CancellationTokenSource stop)
    {
        if (order.IsStopped && !stop.IsCancellationRequested)
            stop.Cancel();

        var isPaused = generator.Clock.Current.IsPaused;
        if (order.IsPaused && !isPaused)
            generator.Clock.Pause();
        else if (!order.IsPaused && isPaused)
            generator.Clock.Resume();

        generator.Limit(order.ClientsMax);
        generator.SetSpeed(order.Speed);
    }
}
