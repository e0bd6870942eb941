using Fleet.Checking;
using Fleet.Checking.History;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.P2pdma;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Tests.Devices;

/// <summary>
/// One device with its page map and refs as plain agents, and the history of everything that they did.
/// </summary>
/// <remarks>
/// All turns run one after the other on one scheduler, as the turns of one silo's grains do when it has one thread;
/// every message between agents gives up its turn, so whatever else is ready runs first.
/// </remarks>
internal sealed class LocalFleet : IFleetLinks, ILifecycleLog, IEventClock, IObjectStreams
{
    public const int Pages = 64;
    public const ulong Start = 0x40_0000_0000;

    private readonly TaskFactory _turns = new(
        CancellationToken.None, TaskCreationOptions.DenyChildAttach, TaskContinuationOptions.None,
        new ConcurrentExclusiveSchedulerPair().ExclusiveScheduler);

    private readonly Dictionary<string, MapAgent> _maps = [];
    private readonly Dictionary<string, ResourceAgent> _resources = [];
    private readonly List<HistoryRecord> _records = [];
    private readonly OnlineChecker _online;
    private readonly RunPlan _run;
    private readonly FleetContext _context;
    private readonly int _session;
    private long _clock;
    private long _op;

    public LocalFleet(string profile, string driver, params InjectionPlan[] injections)
    {
        Profile = profile;
        _online = new(profile, Objects, _ => { });
        _context = new(Objects, this, this, new MemoryIncarnations(), this, "test", 1);
        _session = Objects.Intern("session:gen-01");
        _run = new("test", profile, 1, TimeSpan.Zero, 30, injections);
        Plan = new(
            driver is DriverNames.P2pdma ? "host-0001/0000:01:00.0"
                : driver is DriverNames.Hmm ? "host-0001/hmm:1" : "host-0001/nd:region1",
            driver, [new PciBar(0, true, Start, Pages << 12)]);
        Device = new(_context, Plan.Key, this);
    }

    public string Profile { get; }

    public ObjectTable Objects { get; } = new();

    public DevicePlan Plan { get; }

    public DeviceAgent Device { get; }

    public MapAgent Map => _maps[Plan.ResourceKey(0)];

    public IEnumerable<HistoryEvent> Events => _records.Select(record => record.Event).OfType<HistoryEvent>();

    long IEventClock.NowNs => ++_clock;

    public Task<T> Turn<T>(Func<ValueTask<T>> work) => _turns.StartNew(() => work().AsTask()).Unwrap();

    public Task Turn(Func<Task> work) => _turns.StartNew(work).Unwrap();

    /// <summary>Runs the test itself in turns of the fleet.</summary>
    public static Task Run(string profile, string driver, Func<LocalFleet, Task> test)
    {
        var fleet = new LocalFleet(profile, driver);
        return fleet.Turn(() => test(fleet));
    }

    public async Task<Errno> Bind()
    {
        await Device.Configure(_run, Plan);
        var ticket = Device.Bind(++_op);
        await ticket.Done;
        return ticket.Err;
    }

    public Ticket Unbind() => Device.Unbind(++_op);

    /// <summary>Gives up the turn until an unbind says that it waits for a reference.</summary>
    public async Task UntilWaiting(Ticket unbind)
    {
        while (!unbind.IsDone && !Device.Reply(unbind).WaitsFor!.Contains("last reference", StringComparison.Ordinal))
        {
            await Task.Yield();
        }
    }

    /// <summary>Lets everything run that can, without any other message coming in.</summary>
    public static async Task Settle()
    {
        for (var turn = 0; turn < 200; turn++)
        {
            await Task.Yield();
        }
    }

    /// <summary>A holder in the way of the driver: memory, a request in flight, or a pin.</summary>
    public async Task<Held> Hold(long page = 3)
    {
        var op = Begin(OperationKind.Alloc);
        if (Plan.Driver is DriverNames.Dax or DriverNames.Hmm)
        {
            return await Pin(page);
        }

        var reply = await Device.Alloc(new(op.Number, _session, 4096));
        op.SizeBytes = 4096;
        op.At = At(Device.Log.Obj, reply.At);
        op.Address = reply.Address;
        op.Owner = reply.Owner < 0 ? 0 : Objects.Intern(Plan.RefName(reply.Owner));
        op.Alloc = reply.Err is Errno.OK ? new(Device.Log.Obj, reply.At.Gen, reply.Number) : default;
        End(op, reply.Err);
        return new(reply.Err, reply.At.Gen, reply.Number, reply.Address >> 12, false);
    }

    /// <summary>As <see cref="Hold"/>; where a driver has both, a pin or a request.</summary>
    public Task<Held> HoldAny(long page, bool prefersPin) =>
        prefersPin && Plan.HasPins ? Pin(page) : Hold(page);

    public async Task<Held> Pin(long page = 3)
    {
        var op = Begin(OperationKind.Alloc);
        await Task.Yield();
        var reply = Map.Get(new(op.Number, _session, page));
        op.SizeBytes = 4096;
        op.Address = reply.Pfn << 12;
        op.At = At(Map.Log.Obj, reply.At);
        op.Alloc = reply.Err is Errno.OK ? new(Device.Log.Obj, reply.Gen, reply.Number) : default;
        End(op, reply.Err);
        return new(reply.Err, reply.Gen, reply.Number, reply.Pfn, true);
    }

    public async Task<Errno> Touch(Held held)
    {
        var op = Begin(OperationKind.Access);
        await Task.Yield();
        var request = new AccessRequest(
            op.Number, _session, held.Gen, held.Number, held.Pfn, 1, AccessDirection.Read, AccessVia.Dma, 0);
        var reply = Plan.HasPlainMapping ? await Device.Access(request) : Map.Access(request);
        op.Map = Objects.Intern(Plan.MapName(0));
        op.At = At(op.Map, reply.At);
        op.Alloc = new(Device.Log.Obj, held.Gen, held.Number);
        op.Pfn = held.Pfn;
        op.PageCount = 1;
        op.Direction = AccessDirection.Read;
        End(op, reply.Err);
        return reply.Err;
    }

    public async Task<Errno> Release(Held held)
    {
        var op = Begin(OperationKind.Free);
        op.Alloc = new(Device.Log.Obj, held.Gen, held.Number);
        await Task.Yield();
        if (held.IsPin)
        {
            var unpinned = await Map.Put(new(op.Number, _session, held.Gen, held.Number));
            op.At = At(Map.Log.Obj, unpinned.At);
            End(op, unpinned.Err);
            return unpinned.Err;
        }

        var freed = await Device.Free(new(op.Number, _session, held.Gen, held.Number, held.Pfn << 12, 4096));
        op.SizeBytes = 4096;
        op.Address = held.Pfn << 12;
        op.Owner = freed.Owner < 0 ? 0 : Objects.Intern(Plan.RefName(freed.Owner));
        op.At = At(Device.Log.Obj, freed.At);
        End(op, freed.Err);
        return freed.Err;
    }

    public ValueTask<long> Reap() => Device.ReapSession(_session, "session:gen-01");

    /// <summary>Judges what happened as a stored run is judged; both checkers must say the same.</summary>
    public async Task<CheckReport> Check()
    {
        await Device.Close();
        var checker = new HistoryChecker(
            new HistoryHeader
            {
                Run = "test",
                Source = "live",
                Profile = Profile,
                Clock = "monotonic:test",
                Complete = true,
                Quiescent = true,
            },
            Objects, []);
        var order = _records
            .OrderBy(record => Objects.Kind(record.At.Obj) is ObjectKind.Device)
            .ThenBy(record => record.At.Obj)
            .ThenBy(record => (record.At.Gen, record.At.Seq));
        foreach (var record in order)
        {
            checker.Add(record);
        }

        var report = checker.Finish();
        Assert.True(report.Complete, string.Join(" ", report.Reasons));
        var stored = report.Findings.Select(finding => finding.Rule).ToHashSet();
        Assert.All(_online.Snapshot().Findings, finding => Assert.Contains(finding.Rule, stored));
        return report;
    }

    public IResourceLink Resource(string key) => new ResourceLink(
        _resources.TryGetValue(key, out var known) ? known : _resources[key] = new(_context, key));

    public IMapLink MapLink(string key) => new LocalMapLink(
        _maps.TryGetValue(key, out var known) ? known
            : _maps[key] = new(_context, key, (_, resource) => Resource(resource)));

    IMapLink IFleetLinks.Map(string key) => MapLink(key);

    ValueTask ILifecycleLog.CommitAsync(IReadOnlyList<HistoryEvent> events)
    {
        _records.AddRange(events.Select(happened => (HistoryRecord)happened));
        return ValueTask.CompletedTask;
    }

    IObjectStream IObjectStreams.Open(string name, int gen) => _online.Open(name, gen);

    private static Position At(int obj, At at) => at.Seq == 0 ? default : new(obj, at.Gen, at.Seq, at.Life);

    private Operation Begin(OperationKind kind) => new()
    {
        Number = ++_op,
        Client = _session,
        Session = _session,
        Device = Device.Log.Obj,
        Kind = kind,
        IntendedNs = ++_clock,
        SentNs = _clock,
    };

    private void End(Operation op, Errno err)
    {
        op.DoneNs = ++_clock;
        op.Err = err;
        op.Outcome = err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
        _records.Add(op);
    }

    internal readonly record struct Held(Errno Err, int Gen, long Number, ulong Pfn, bool IsPin);

    private sealed class ResourceLink(ResourceAgent agent) : IResourceLink
    {
        public async ValueTask<At> Init(int life, At cause)
        {
            await agent.Log.OpenAsync();
            return await Do(() => agent.Init(life, cause));
        }

        public ValueTask<At> Kill(int life, At cause) => Do(() => agent.Kill(life, cause));

        public ValueTask<At> Confirm(int life, SlotReport[] folds) => Do(() => agent.Confirm(life, folds));

        public ValueTask<At> Report(int life, SlotReport report) => Do(() => agent.Report(life, report));

        public async ValueTask<ZeroReply> WaitZero(int life, WaitStep step, At cause)
        {
            await Task.Yield();
            if (step is WaitStep.Poll)
            {
                await agent.Reaped;
            }

            var reply = agent.WaitZero(life, step, cause);
            await agent.Log.CommitAsync();
            return reply;
        }

        public ValueTask<At> Exit(int life, bool endsCleanup, At cause) =>
            Do(() => agent.Exit(life, endsCleanup, cause));

        public ValueTask<At> Fence(int deviceGen, int life, At cause, string actor) => agent.Fence(life, cause, actor);

        public ValueTask<At> Look() => new(agent.Log.Last);

        private async ValueTask<At> Do(Func<At> step)
        {
            await Task.Yield();
            var at = step();
            await agent.Log.CommitAsync();
            return at;
        }
    }

    private sealed class LocalMapLink(MapAgent agent) : IMapLink
    {
        public async ValueTask<At> Store(MapLife life, At cause)
        {
            await agent.Log.OpenAsync();
            return await Do(() => new ValueTask<At>(agent.Store(life, cause)));
        }

        public ValueTask<At> AddMemory(int life, At cause) => Do(() => new ValueTask<At>(agent.AddMemory(life, cause)));

        public ValueTask<At> InitPages(int life, RefSlotState slot, At cause) =>
            Do(() => agent.InitPages(life, slot, cause));

        public async ValueTask<At> SetUp(MapLife life, RefSlotState slot, At cause)
        {
            await agent.Log.OpenAsync();
            return await Do(() => agent.SetUp(life, slot, cause));
        }

        public ValueTask<SlotReport> Fold(int life) => Do(() => new ValueTask<SlotReport>(agent.Fold(life)));

        public ValueTask<At> PutInitial(int life, At cause) => Do(() => agent.PutInitial(life, cause));

        public ValueTask<At> Remove(int life, At cause, At reference) =>
            Do(() => new ValueTask<At>(agent.Remove(life, cause, reference)));

        public ValueTask<At> Erase(int life, At cause) => Do(() => new ValueTask<At>(agent.Erase(life, cause)));

        public ValueTask<At> Fence(int deviceGen, int life, At cause, string actor) =>
            agent.Fence(deviceGen, cause, actor);

        public ValueTask<At> Look() => new(agent.Log.Last);

        public ValueTask<At> Bar(int session, string name) => Do(() => new ValueTask<At>(agent.Bar(session, name)));

        public ValueTask<long> Reap(int session, string name) => Do(() => agent.Reap(session));

        private async ValueTask<T> Do<T>(Func<ValueTask<T>> step)
        {
            await Task.Yield();
            var value = await step();
            await agent.Log.CommitAsync();
            return value;
        }
    }
}
