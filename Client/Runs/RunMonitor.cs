using System.Collections.Immutable;
using Fleet.Client.Load;
using Fleet.Client.Scenarios;
using Fleet.Grains;
using Fleet.Kernel.History;
using Fleet.Storage;
using Fleet.Storage.Results;

namespace Fleet.Client.Runs;

/// <summary>What a monitor asks of the rest of a run.</summary>
/// <param name="Findings">Found so far.</param>
/// <param name="Probes">Counts so far by name.</param>
/// <param name="Backlog">Records that are not stored yet.</param>
/// <param name="Store">Keeps readings with the run, while it goes on.</param>
public sealed record MonitorSources(
    Func<long> Findings,
    Func<Task<IReadOnlyDictionary<string, long>>> Probes,
    Func<long> Backlog,
    Func<(long Count, string Last)> Faults,
    Func<IReadOnlyList<MetricPoint>, CancellationToken, Task> Store);

/// <summary>Watches a run while it goes on: shows it, stores its figures, holds it against its
/// thresholds.</summary>
/// <remarks>
/// Figures are stored once in an interval that grows with the length of the scenario, so that a run of days stores as
/// many as one of minutes. Nothing is kept but histograms and samples of fixed size. Concurrency: one task.
/// </remarks>
public sealed class RunMonitor
{
    private const int IntervalsAimed = 600;
    private const int OpenShownMax = 5;

    /// <summary>Points kept while the store does not answer; the oldest go first.</summary>
    private const int UnstoredMax = 20_000;

    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan StoreIntervalMin = TimeSpan.FromSeconds(1);

    private readonly Scenario _scenario;
    private readonly LoadGenerator _generator;
    private readonly MonitorSources _sources;
    private readonly ResourceWatch _resources;
    private readonly IRunProgress _progress;
    private readonly LatencyWindow _shown;
    private readonly LatencyWindow _stored;
    private readonly TimeSpan _storeInterval;
    private readonly List<MetricPoint> _unstored = [];
    private readonly TaskCompletionSource<ThresholdResult> _aborted = new(
        TaskCreationOptions.RunContinuationsAsynchronously);

    private double _dueAtStore;
    private Counts _atShow;
    private Counts _atStore;

    public RunMonitor(
        Scenario scenario, LoadGenerator generator, MonitorSources sources, ResourceWatch resources,
        IRunProgress progress)
    {
        (_scenario, _generator, _sources, _resources, _progress) = (scenario, generator, sources, resources, progress);
        _shown = generator.Latency.OpenWindow();
        _stored = generator.Latency.OpenWindow();
        var aimed = TimeSpan.FromSeconds(Math.Ceiling(scenario.Duration.TotalSeconds / IntervalsAimed));
        _storeInterval = aimed > StoreIntervalMin ? aimed : StoreIntervalMin;
    }

    /// <summary>Completes with the first missed threshold that is to end the load.</summary>
    public Task<ThresholdResult> Aborted => _aborted.Task;

    /// <summary>Readings that the store did not take; above zero the time series has a gap.</summary>
    public long PointsLost { get; private set; }

    public IReadOnlyList<GaugeSummary> Gauges => _resources.Summarize();

    /// <summary>Watches until the load is over.</summary>
    public async Task RunAsync(CancellationToken over)
    {
        using var timer = new PeriodicTimer(Tick);
        _atShow = _atStore = Counts.Of(_generator.Counters);
        try
        {
            while (await timer.WaitForNextTickAsync(over))
            {
                try
                {
                    if (MonotonicNs.Now - _atStore.TimeNs >= _storeInterval.Ticks * 100)
                        await StoreAsync(over);

                    await ShowAsync();
                }
                catch (Exception e) when (LostCall.Is(e, over))
                {
                    // A silo that does not answer is the load's to notice; this moment is not shown.
                    continue;
                }
            }
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            return;
        }
    }

    /// <summary>Stores the last interval, and what the store did not take before.</summary>
    public Task EndAsync() => StoreAsync(CancellationToken.None);

    /// <summary>How every threshold stands; slopes only once the load is over.</summary>
    /// <param name="probes">Counts so far by name.</param>
    public ImmutableArray<ThresholdResult> Judge(bool isOver, IReadOnlyDictionary<string, long> probes) =>
        ThresholdWatch.Judge(_scenario.Thresholds, new(
            _generator.Counters,
            _generator.Latency,
            _generator.Elapsed,
            _generator.AchievedShare,
            _generator.TimerLagMax,
            _sources.Findings(),
            probes,
            _resources.MaxOf(ResourceWatch.Memory),
            isOver ? _resources.Summarize() : null));

    private async Task ShowAsync()
    {
        _generator.Latency.Update(_shown);
        var counts = Counts.Of(_generator.Counters);
        var seconds = (counts.TimeNs - _atShow.TimeNs) / 1e9;
        var needsProbes = _scenario.Thresholds.Any(threshold => threshold.Metric == "probes");
        var thresholds = Judge(
            isOver: false, needsProbes ? await _sources.Probes() : ImmutableDictionary<string, long>.Empty);
        var state = _generator.Clock.Current;
        var faults = _sources.Faults();
        _progress.Show(new()
        {
            Phase = state.Phase,
            PhaseLeft = state.EndsNs == 0 || state.IsPaused ? null
                : TimeSpan.FromMicroseconds(Math.Max(0, state.EndsNs - counts.TimeNs) / 1000),
            IsPaused = state.IsPaused,
            Elapsed = _generator.Elapsed,
            Operations = counts.Total,
            RatePerSecond = (counts.Total - _atShow.Total) / seconds,
            DuePerSecond = state.IsDraining ? null : _generator.DuePerSecond,
            Achieved = _generator.AchievedShare,
            Kinds = [.. KindsSince(_atShow, counts, _shown)],
            LagP99Ms = LatencyRecorder.PercentileMs(_shown.Of("lag", ""), 99),
            Live = _generator.Counters.Live,
            UnbindsInFlight = _generator.Counters.UnbindsInFlight,
            Unbinds = _generator.Counters.Of(OperationKind.Unbind),
            Open = [.. _generator.OpenTickets.Take(OpenShownMax)],
            NowNs = counts.TimeNs,
            Unknown = counts.Unknown,
            Findings = _sources.Findings(),
            Backlog = _sources.Backlog(),
            MemoryBytes = _resources.LastOf(ResourceWatch.Memory),
            Thresholds = thresholds,
            Faults = faults.Count,
            FaultLast = faults.Last,
        });
        _shown.Clear();
        _atShow = counts;
        if (thresholds.FirstOrDefault(one =>
            one is { State: ThresholdState.Missed, Threshold.AbortOnFail: true }) is { } missed)
            _aborted.TrySetResult(missed);
    }

    private async Task StoreAsync(CancellationToken ct)
    {
        _generator.Latency.Update(_stored);
        var counts = Counts.Of(_generator.Counters);
        var seconds = (counts.TimeNs - _atStore.TimeNs) / 1e9;
        if (seconds <= 0)
            return;

        Measure("rate", (counts.Total - _atStore.Total) / seconds);
        if (_generator.DueSoFar is { } due)
        {
            Measure("due", (due - _dueAtStore) / seconds);
            _dueAtStore = due;
        }

        foreach (var kind in KindsSince(_atStore, counts, _stored))
            Measure($"rate/{kind.Kind}", kind.RatePerSecond);
        foreach (var (metric, of, histogram) in _stored.Histograms.Where(one => one.Histogram.TotalCount > 0))
        {
            var name = of.Length == 0 ? metric : $"{metric}/{of}";
            Measure($"{name}/p50", LatencyRecorder.PercentileMs(histogram, 50)!.Value);
            Measure($"{name}/p99", LatencyRecorder.PercentileMs(histogram, 99)!.Value);
            Measure($"{name}/max", LatencyRecorder.PercentileMs(histogram, 100)!.Value);
        }

        Measure("phase", _scenario.Phases.IndexOf(
            _scenario.Phases.FirstOrDefault(phase => phase.Name == _generator.Clock.Current.Phase)!));
        Measure("live", _generator.Counters.Live);
        Measure("unbinds_in_flight", _generator.Counters.UnbindsInFlight);
        Measure("unknown", counts.Unknown);
        Measure("findings", _sources.Findings());
        Measure("backlog", _sources.Backlog());
        Measure("faults", _sources.Faults().Count);
        _stored.Clear();
        _atStore = counts;
        try
        {
            foreach (var (gauge, value) in await _resources.SampleAsync(_generator.Elapsed, ct))
                Measure(gauge, value);
            await _sources.Store([.. _unstored], ct);
            _unstored.Clear();
        }
        catch (Exception e) when (
            e is StorageException or OutcomeUnknownException || LostCall.Is(e, ct))
        {
            // A store that is away is a fault's doing or ends the run elsewhere; the readings wait for it.
            var tooMany = Math.Max(0, _unstored.Count - UnstoredMax);
            PointsLost += tooMany;
            _unstored.RemoveRange(0, tooMany);
        }

        void Measure(string name, double value) => _unstored.Add(new(counts.TimeNs, name, value));
    }

    private static IEnumerable<KindMoment> KindsSince(Counts from, Counts to, LatencyWindow window)
    {
        var seconds = (to.TimeNs - from.TimeNs) / 1e9;
        for (var place = 0; place < LatencyRecorder.Kinds.Count; place++)
        {
            var name = LatencyRecorder.NameOf(LatencyRecorder.Kinds[place]);
            var response = window.Of("response", name);
            if (to.Kinds[place] > 0)
            {
                yield return new(
                    name,
                    (to.Kinds[place] - from.Kinds[place]) / seconds,
                    LatencyRecorder.PercentileMs(response, 50),
                    LatencyRecorder.PercentileMs(response, 99),
                    LatencyRecorder.PercentileMs(response, 100),
                    to.Kinds[place]);
            }
        }
    }

    private readonly record struct Counts(long TimeNs, long Total, long Unknown, ImmutableArray<long> Kinds)
    {
        public static Counts Of(LoadCounters counters) => new(
            MonotonicNs.Now, counters.Operations, counters.Unknown,
            [.. LatencyRecorder.Kinds.Select(counters.Of)]);
    }
}
