using System.Globalization;
using System.Runtime.CompilerServices;
using Fleet.Client.Load;
using Fleet.Client.Runs;
using Fleet.Client.Scenarios;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.LoadTests.Measuring;
using Fleet.Protocol.Wire;
using Fleet.Storage.Results;
using Fleet.Storage.Server;
using Fleet.Storage.Spool;

namespace Fleet.LoadTests.Load;

/// <summary>What a generator costs by itself, how punctual it is, and what a whole run does end to end.</summary>
internal static class LoadBench
{
    public const string Name = "load";

    private static readonly string[] Steady =
    [
        "probes={ require: [] }", "thresholds=[]", "load.operations.unbind=0.02",
    ];

    public static async IAsyncEnumerable<Line> RunAsync(bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        var folder = Directory.CreateTempSubdirectory("fleet-bench-load-");
        File.SetUnixFileMode(folder.FullName, (UnixFileMode)0b111_101_101);
        try
        {
            var duration = TimeSpan.FromSeconds(isQuick ? 1 : 10);
            await foreach (var line in MeasureAsync(folder.FullName, duration, isQuick, ct))
            {
                yield return line;
            }
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static async IAsyncEnumerable<Line> MeasureAsync(
        string folder, TimeSpan duration, bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        yield return await AloneAsync(Path.Combine(folder, "alone"), duration, ct);
        var store = StoreAddress.Parse(Path.Combine(folder, "results"));
        var closed = await RunOfAsync(store, duration, new(), ct);
        yield return LineOf("closed loop, 64 clients, result file", closed, "op/s", "20,000 op/s");
        var paused = GC.GetTotalPauseDuration();
        var half = await RunOfAsync(store, duration, new() { RatePerSecond = closed.OperationsPerSecond / 2 }, ct);
        paused = GC.GetTotalPauseDuration() - paused;
        var lag = half.Latency.First(one => one.Metric == "lag");
        yield return new(
            Name, "schedule lag p99 at half of that", lag.P99Ms, "ms", null, null, null, null, null, "2 ms",
            string.Create(
                CultureInfo.InvariantCulture,
                $"{closed.OperationsPerSecond / 2:N0} op/s due, {half.Achieved:P1} sent; lag p50 {lag.P50Ms:0.00} ms, "
                + $"max {lag.MaxMs:0.0} ms; the pacing thread late by {half.Punctuality?.WokenLateP99Ms:0.00} ms at "
                + $"p99, {half.Punctuality?.WokenLateMaxMs:0.0} at most; {half.Punctuality?.BusyShare:P1} due while "
                + $"their client had no answer yet; {paused.TotalMilliseconds:N0} ms of pauses of the garbage "
                + $"collector in the whole run; timers late by {half.TimerLagMaxMs:0.0} ms at most"));
        if (isQuick || PrivateServer.FindBinaries() is null)
            yield break;

        var server = PrivateServer.In(Path.Combine(folder, "db"));
        await server.UpAsync(ct);
        try
        {
            store = StoreAddress.Parse("private:" + Path.Combine(folder, "db"));
            yield return LineOf(
                "PostgreSQL and online check, single calls", await RunOfAsync(store, duration, new(), ct), "op/s",
                "20,000 op/s");
            yield return LineOf(
                "PostgreSQL and online check, vectors of 16",
                await RunOfAsync(
                    store, duration, new() { Overrides = [ScenarioOverride.Parse("load.vector=16")] }, ct),
                "op/s", "100,000 op/s");
        }
        finally
        {
            await server.DownAsync(CancellationToken.None);
        }
    }

    /// <summary>A generator whose every call is answered at once: what is left is its own work and its spool.</summary>
    private static async Task<Line> AloneAsync(string folder, TimeSpan duration, CancellationToken ct)
    {
        const int clients = 2;
        var request = RequestOf(StoreAddress.Parse(folder), duration, new() { Clients = clients });
        var objects = new ObjectTable();
        using var spool = SpoolWriter.Create(
            new(Path.Combine(folder, "spool"), "bench", 1, "bench", SpoolOptions.MonotonicClock())
            {
                BoundBytes = long.MaxValue,
            },
            objects);
        var fleet = new LoadFleet(request.Plan, objects);
        await using var generator = new LoadGenerator(
            request.Scenario, fleet, new EmptyPort(), spool, "bench", "session:bench", 1);
        var cpu = Environment.CpuUsage.TotalTime;
        var bytes = GC.GetTotalAllocatedBytes();
        await generator.RunAsync(ct);
        var cpuSeconds = (Environment.CpuUsage.TotalTime - cpu).TotalSeconds;
        var operations = generator.Counters.Operations;
        return new(
            Name, "generator alone, an empty target", cpuSeconds * 1e9 / operations, "ns CPU/op", null, null, null,
            null, null, "",
            string.Create(
                CultureInfo.InvariantCulture,
                $"with numbers, spool, counters and histograms; {operations / generator.SendingTime.TotalSeconds:N0} "
                + $"op/s of {clients} clients, {(GC.GetTotalAllocatedBytes() - bytes) / (double)operations:N0} B/op"));
    }

    private static Line LineOf(string what, RunSummary run, string unit, string aim) => new(
        Name, what, run.OperationsPerSecond, unit, null, null, null, null, null, aim,
        string.Create(
            CultureInfo.InvariantCulture,
            $"{run.OperationsTotal:N0} operations, verdict {run.Verdict.ToString().ToLowerInvariant()}; alloc p99 "
            + $"{run.Latency.FirstOrDefault(one => one is { Metric: "response", Of: "alloc" })?.P99Ms:0.0} ms; stored "
            + $"in {run.Seconds["store"]:0.0} s and checked in {run.Seconds["check"]:0.0} s after the load"));

    private static Task<RunSummary> RunOfAsync(
        StoreAddress store, TimeSpan duration, RunOptions options, CancellationToken ct) =>
        new FleetRun(RequestOf(store, duration, options), new Silence()).RunAsync(ct);

    private static RunRequest RequestOf(StoreAddress store, TimeSpan duration, RunOptions options) => RunRequest.Create(
        "smoke",
        options with
        {
            Devices = 500,
            Duration = duration,
            Overrides = [.. Steady.Select(ScenarioOverride.Parse), .. options.Overrides],
        },
        store, keepGoing: true, "bench load", DateTimeOffset.UtcNow);

    private sealed class Silence : IRunProgress
    {
        public void Begin(string part)
        {
        }

        public void Show(RunMoment moment)
        {
        }

        public void Say(string line)
        {
        }

        public void Found(Finding finding)
        {
        }
    }

    /// <summary>Says yes to everything, at once.</summary>
    private sealed class EmptyPort : IFleetPort
    {
        private long _number;

        public ValueTask<AllocReply> AllocAsync(int device, AllocRequest request) =>
            new(new AllocReply(Errno.OK, new(1, 1, 1), Interlocked.Increment(ref _number), 4096, 0, 0));

        public ValueTask<FreeReply> FreeAsync(int device, FreeRequest request) =>
            new(new FreeReply(Errno.OK, new(1, 1, 1), 0));

        public ValueTask<AccessReply> AccessAsync(int device, int resource, AccessRequest request) =>
            new(new AccessReply(Errno.OK, new(1, 1, 1), request.Tag));

        public ValueTask<AllocReply[]> AllocManyAsync(int device, AllocRequest[] requests) =>
            throw new NotSupportedException("Single calls are measured.");

        public ValueTask<FreeReply[]> FreeManyAsync(int device, FreeRequest[] requests) =>
            throw new NotSupportedException("Single calls are measured.");

        public ValueTask<AccessReply[]> AccessManyAsync(int device, int resource, AccessRequest[] requests) =>
            throw new NotSupportedException("Single calls are measured.");

        public ValueTask<PinReply> PinAsync(int device, PinRequest request) =>
            throw new NotSupportedException("Peer-to-peer memory is measured.");

        public ValueTask<UnpinReply> UnpinAsync(int device, UnpinRequest request) =>
            throw new NotSupportedException("Peer-to-peer memory is measured.");

        public ValueTask<ResolveReply> ResolveAtDeviceAsync(int device, ResolveRequest request) => default;

        public ValueTask<ResolveReply> ResolveAtMapAsync(int device, int resource, ResolveRequest request) => default;

        public ValueTask<TicketReply> BindAsync(int device, long op) => Done();

        public ValueTask<TicketReply> UnbindAsync(int device, long op) => Done();

        public ValueTask<TicketReply> AwaitTicketAsync(int device, long ticket) => Done();

        private static ValueTask<TicketReply> Done() => new(new TicketReply(1, true, Errno.OK, new(1, 1, 1), null));
    }
}
