using Fleet.Client.Load;
using Fleet.Client.Runs;
using Fleet.Client.Scenarios;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Wire;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;
using HdrHistogram;

namespace Fleet.Client.Tests.Load;

[Trait("tier", "fast")]
public sealed class OpenLoadTests
{
    private const int Stalled = 400;

    // Goal: no coordinated omission: what became due while the fleet stood still is intended when it was due.
    // Method: one client, a thousand operations a second; the first answer comes once 400 more are due. Bounds from
    // below only: a slow machine makes lags longer.
    [Fact]
    public async Task A_stall_shows_in_the_lag_of_all_that_became_due_within_it()
    {
        var folder = Directory.CreateTempSubdirectory("fleet-open-load-");
        try
        {
            var request = RunRequest.Create(
                "smoke",
                new()
                {
                    Devices = 4,
                    Clients = 1,
                    RatePerSecond = 1000,
                    Overrides =
                    [
                        ScenarioOverride.Parse("phases=[ { name: steady, for: 600s }, { name: drain, for: 60s } ]"),
                        ScenarioOverride.Parse("load.deadline=600s"),
                    ],
                },
                StoreAddress.Parse(folder.FullName), keepGoing: true, "test", DateTimeOffset.UnixEpoch);
            var objects = new ObjectTable();
            using var spool = SpoolWriter.Create(
                new(Path.Combine(folder.FullName, "spool"), "test", 1, "test", SpoolOptions.MonotonicClock()), objects);
            using var stop = new CancellationTokenSource();
            LoadGenerator? generator = null;
            var port = new StallingPort(() => generator!.DueSoFar >= Stalled + 1, stop);
            await using var open = generator = new LoadGenerator(
                request.Scenario, new LoadFleet(request.Plan, objects), port, spool, "test", "session:test", 1);

            await generator.RunAsync(stop.Token);

            var lag = generator.Latency.All().First(one => one.Metric == "lag").Histogram;
            var late = lag.RecordedValues().Where(value => value.ValueIteratedTo >= 100_000)
                .Sum(value => value.CountAddedInThisIterationStep);
            Assert.InRange(late, Stalled - 110, long.MaxValue);
            Assert.InRange(lag.GetMaxValue(), (Stalled - 10) * 1000, long.MaxValue);
            Assert.InRange(generator.Punctuality!.BusyShare, 0.2, 1);
            Assert.True(generator.IsDrained);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>Answers its first call once a condition holds, the others at once; ends the load after twice as many as
    /// were held up.</summary>
    private sealed class StallingPort(Func<bool> isOver, CancellationTokenSource stop) : IFleetPort
    {
        private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(5);
        private long _calls;

        public async ValueTask<AllocReply> AllocAsync(int device, AllocRequest request)
        {
            var call = Interlocked.Increment(ref _calls);
            if (call == 1)
            {
                using var timer = new PeriodicTimer(Look);
                while (!isOver())
                    await timer.WaitForNextTickAsync();
            }

            Called(call);
            return new(Errno.OK, new(1, 1, 1), call, 4096, 0, 0);
        }

        public ValueTask<FreeReply> FreeAsync(int device, FreeRequest request)
        {
            Called(Interlocked.Increment(ref _calls));
            return new(new FreeReply(Errno.OK, new(1, 1, 1), 0));
        }

        public ValueTask<AccessReply> AccessAsync(int device, int resource, AccessRequest request)
        {
            Called(Interlocked.Increment(ref _calls));
            return new(new AccessReply(Errno.OK, new(1, 1, 1), request.Tag));
        }

        public ValueTask<AllocReply[]> AllocManyAsync(int device, AllocRequest[] requests) =>
            throw new NotSupportedException("Single calls are tested.");

        public ValueTask<FreeReply[]> FreeManyAsync(int device, FreeRequest[] requests) =>
            throw new NotSupportedException("Single calls are tested.");

        public ValueTask<AccessReply[]> AccessManyAsync(int device, int resource, AccessRequest[] requests) =>
            throw new NotSupportedException("Single calls are tested.");

        public ValueTask<PinReply> PinAsync(int device, PinRequest request) =>
            throw new NotSupportedException("Peer-to-peer memory is tested.");

        public ValueTask<UnpinReply> UnpinAsync(int device, UnpinRequest request) =>
            throw new NotSupportedException("Peer-to-peer memory is tested.");

        public ValueTask<ResolveReply> ResolveAtDeviceAsync(int device, ResolveRequest request) => default;

        public ValueTask<ResolveReply> ResolveAtMapAsync(int device, int resource, ResolveRequest request) => default;

        public ValueTask<TicketReply> BindAsync(int device, long op) => Done();

        public ValueTask<TicketReply> UnbindAsync(int device, long op) => Done();

        public ValueTask<TicketReply> AwaitTicketAsync(int device, long ticket) => Done();

        private void Called(long call)
        {
            if (call == 2 * Stalled)
                stop.Cancel();
        }

        private static ValueTask<TicketReply> Done() => new(new TicketReply(1, true, Errno.OK, new(1, 1, 1), null));
    }
}
