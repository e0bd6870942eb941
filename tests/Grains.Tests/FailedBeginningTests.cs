using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.P2pdma;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Streams;
using Fleet.Silo;

namespace Fleet.Grains.Tests;

[Trait("tier", "cluster")]
public sealed class FailedBeginningTests
{
    private const string Device = "host-0001/0000:00:00.0";

    // Goal: a database that is away while a device begins costs that call and not the activation.
    [Fact]
    public async Task A_device_whose_beginning_failed_begins_with_the_next_call()
    {
        var objects = new ObjectTable();
        await using var fleet = await EmbeddedFleet.StartAsync(
            new()
            {
                Run = "test-" + Guid.NewGuid().ToString("n"),
                Objects = objects,
                Log = new NowhereLog(),
                Incarnations = new FailsOnce(),
            },
            CancellationToken.None);
        var device = fleet.Grains.GetGrain<IPciDeviceGrain>(Device);
        var run = new RunPlan("test", "ALL", 1, TimeSpan.FromSeconds(30), 30, []);
        var plan = new DevicePlan(Device, "p2pdma", [new PciBar(4, true, 1UL << 34, 1 << 20)]);
        await Assert.ThrowsAnyAsync<Exception>(async () => await device.Configure(run, plan));
        await device.Configure(run, plan);
        var bound = await device.Bind(1);
        while (!bound.IsDone)
        {
            bound = await device.AwaitTicket(bound.Ticket);
        }

        Assert.Equal(Errno.OK, bound.Err);
        Assert.Equal(Errno.OK, (await device.Alloc(new(2, objects.Intern("session:gen-01"), 4096))).Err);
    }

    private sealed class NowhereLog : ILifecycleLog
    {
        public ValueTask CommitAsync(IReadOnlyList<HistoryEvent> events) => ValueTask.CompletedTask;
    }

    /// <summary>The incarnations of this process, of which the first one cannot be begun.</summary>
    private sealed class FailsOnce : IIncarnations
    {
        private readonly MemoryIncarnations _memory = new();
        private int _begun;

        public bool IsFencing
        {
            get => _memory.IsFencing;
            set => _memory.IsFencing = value;
        }

        public ValueTask<Tenure> BeginAsync(string name, KeptPlan? plan = null) =>
            name.StartsWith("dev:", StringComparison.Ordinal) && Interlocked.Increment(ref _begun) == 1
                ? throw new IOException("The database is away.") : _memory.BeginAsync(name, plan);

        public ValueTask<DurableObject> KnownAsync(string name) => _memory.KnownAsync(name);

        public ValueTask KeepAsync(string name, KeptPlan? plan) => _memory.KeepAsync(name, plan);

        public ValueTask<bool> TryKeepAsync(string name, int gen, KeptPlan plan) =>
            _memory.TryKeepAsync(name, gen, plan);

        public ValueTask<IReadOnlyList<string>> NamesAsync(string prefix) => _memory.NamesAsync(prefix);

        public ValueTask LeaveAsync(string name, Tenure tenure) => _memory.LeaveAsync(name, tenure);
    }
}
