using System.Collections.Concurrent;
using Fleet.Checking;
using Fleet.Checking.History;
using Fleet.Grains;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.P2pdma;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;
using Fleet.Silo;

namespace Fleet.Grains.Tests;

/// <summary>
/// Two real silos that share what is durable and know nothing of each other: whatever the second one begins, it has
/// taken from the first, which goes on living. The worst case of a failover, at every instant that a test wants.
/// </summary>
internal sealed class TwinFleets : IAsyncDisposable
{
    public const string Host = "host-0001";
    public const ulong ResourceBytes = 64 * 1024;

    private const ulong PageBytes = 4096;

    private readonly List<Operation> _operations = [];
    private readonly ConcurrentDictionary<(int Place, int Gen, long Number), ulong> _sizes = new();
    private readonly SharedLog _log = new();
    private readonly EventClock _clock = new();
    private EmbeddedFleet? _first;
    private EmbeddedFleet? _second;
    private long _op;

    public TwinFleets(
        string profile = "ALL", int devices = 1, int resources = 1, bool isFenced = true,
        string driver = DriverNames.P2pdma)
    {
        Plan = new(Host, [.. Enumerable.Range(0, devices).Select(d => new DevicePlan(
            driver is DriverNames.P2pdma ? $"{Host}/0000:{d:x2}:00.0" : $"{Host}/nd:region{d}", driver,
            [.. Enumerable.Range(0, resources).Select(
                i => new PciBar(2 + i, true, ((ulong)d + 1 << 34) + ((ulong)i << 30), ResourceBytes))]))]);
        Run = new("test", profile, 1, TimeSpan.FromMilliseconds(200), 30, [], IsFenced: isFenced);
        Session = Objects.Intern("session:gen-01");
        Client = Objects.Intern("client:gen-01-1");
    }

    /// <summary>A client is sequential: each device has one of its own, the first device the first.</summary>
    private int ClientOf(int place) => place == 0 ? Client : Objects.Intern($"client:gen-01-{place + 1}");

    public ObjectTable Objects { get; } = new();

    public MemoryIncarnations Incarnations { get; } = new();

    public HostPlan Plan { get; }

    public RunPlan Run { get; }

    public int Session { get; }

    public int Client { get; }

    public IGrainFactory First => _first!.Grains;

    public IGrainFactory Second => _second!.Grains;

    /// <summary>Decides for each group of events whether it becomes durable; a task that never ends holds it.</summary>
    public Func<IReadOnlyList<HistoryEvent>, Task>? Hold
    {
        get => _log.Hold;
        set => _log.Hold = value;
    }

    public IReadOnlyList<HistoryEvent> Events => [.. _log.Events];

    public async Task Start()
    {
        _first = await Start("silo-1", 1);
        _second = await Start("silo-2", 2);
    }

    /// <summary>The first silo is gone at once, with everything in it.</summary>
    public async Task Kill()
    {
        await _first!.DisposeAsync();
        _first = null;
    }

    public IPciDeviceGrain Device(IGrainFactory at, int place = 0) =>
        at.GetGrain<IPciDeviceGrain>(Plan.Devices[place].Key);

    public IPgmapGrain Map(IGrainFactory at, int place = 0, int resource = 0) =>
        at.GetGrain<IPgmapGrain>(Plan.Devices[place].ResourceKey(resource));

    public async Task<AllocReply> Alloc(
        IGrainFactory at, int place = 0, int knownGen = 0, ulong sizeBytes = PageBytes)
    {
        var op = Begin(OperationKind.Alloc, place);
        op.SizeBytes = sizeBytes;
        var reply = await Device(at, place).Alloc(new(op.Number, Session, sizeBytes, op.Client, knownGen));
        if (reply.Err is Errno.OK)
        {
            _sizes[(place, reply.At.Gen, reply.Number)] = sizeBytes;
        }

        op.Address = reply.Address;
        op.Owner = reply.Owner < 0 ? 0 : Objects.Intern(Plan.Devices[place].RefName(reply.Owner));
        op.Alloc = reply.Number == 0 ? default : new(op.Device, reply.At.Gen, reply.Number);
        End(op, reply.Err, op.Device, reply.At);
        return reply;
    }

    public async Task<AccessReply> Touch(IGrainFactory at, AllocReply held, int place = 0, ulong tag = 0)
    {
        var op = Begin(OperationKind.Access, place);
        op.Alloc = new(op.Device, held.At.Gen, held.Number);
        op.Map = Objects.Intern(Plan.Devices[place].MapName(held.Resource));
        op.Pfn = held.Address >> 12;
        op.PageCount = 1;
        op.Direction = tag == 0 ? AccessDirection.Read : AccessDirection.Write;
        op.Via = AccessVia.Dma;
        var reply = await Map(at, place, held.Resource).Access(new(
            op.Number, Session, held.At.Gen, held.Number, op.Pfn, 1, op.Direction, op.Via, tag, op.Client));
        op.Tag = tag == 0 ? reply.Tag : tag;
        End(op, reply.Err, op.Map, reply.At);
        return reply;
    }

    /// <param name="crash">What is not answered when it ends will never be.</param>
    /// <returns>ENODEV where no answer came, which the history has as an unknown outcome.</returns>
    public async Task<FreeReply> Free(IGrainFactory at, AllocReply held, int place = 0, Task? crash = null)
    {
        var op = Begin(OperationKind.Free, place);
        op.Alloc = new(op.Device, held.At.Gen, held.Number);
        op.Address = held.Address;
        op.SizeBytes = _sizes[(place, held.At.Gen, held.Number)];
        var call = Device(at, place).Free(new(
            op.Number, Session, held.At.Gen, held.Number, held.Address, op.SizeBytes, op.Client)).AsTask();
        if (crash is not null && await Task.WhenAny(call, crash) != call)
        {
            op.Outcome = OperationOutcome.Unknown;
            Add(op);
            return new(Errno.ENODEV, default, -1);
        }

        var reply = await call;
        op.Owner = reply.Owner < 0 ? 0 : Objects.Intern(Plan.Devices[place].RefName(reply.Owner));
        End(op, reply.Err, op.Device, reply.At);
        return reply;
    }

    public async Task<Errno> Bind(IGrainFactory at, int place = 0) =>
        (await Await(at, await Device(at, place).Bind(Interlocked.Increment(ref _op)), place)).Err;

    public async Task<Errno> Unbind(IGrainFactory at, int place = 0) =>
        (await Await(at, await Device(at, place).Unbind(Interlocked.Increment(ref _op)), place)).Err;

    public async Task<TicketReply> Await(IGrainFactory at, TicketReply ticket, int place = 0)
    {
        while (!ticket.IsDone)
        {
            ticket = await Device(at, place).AwaitTicket(ticket.Ticket);
        }

        return ticket;
    }

    public IEnumerable<HistoryEvent> Stream(string name) =>
        Events.Where(e => e.At.Obj == Objects.Find(name)).OrderBy(e => (e.At.Gen, e.At.Seq));

    public IEnumerable<HistoryEvent> DeviceStream(int place = 0) => Stream(Plan.Devices[place].Name);

    /// <summary>Judges what became durable, and what the client recorded, as a stored run is judged.</summary>
    public CheckReport Check()
    {
        var checker = new HistoryChecker(
            new HistoryHeader
            {
                Run = "test",
                Source = "live",
                Profile = Run.Profile,
                Clock = "monotonic:test",
                ClockBoundNs = 0,
                Complete = true,
                Quiescent = true,
            },
            Objects, []);
        var records = Events.Select(happened => (HistoryRecord)happened)
            .Concat(_operations.Select(operation => (HistoryRecord)operation))
            .OrderBy(record => Objects.Kind(record.At.Obj) is ObjectKind.Device)
            .ThenBy(record => record.At.Obj)
            .ThenBy(record => (record.At.Gen, record.At.Seq));
        foreach (var record in records)
        {
            checker.Add(record);
        }

        return checker.Finish();
    }

    public async ValueTask DisposeAsync()
    {
        if (_first is not null)
        {
            await _first.DisposeAsync();
        }

        if (_second is not null)
        {
            await _second.DisposeAsync();
        }
    }

    private Task<EmbeddedFleet> Start(string name, int process) => EmbeddedFleet.StartAsync(
        new()
        {
            Run = "test-" + Guid.NewGuid().ToString("n"),
            Objects = Objects,
            Log = _log,
            Incarnations = Incarnations,
            ProcessId = process,
            Process = name,
            LongPoll = TimeSpan.FromMilliseconds(200),
        },
        CancellationToken.None);

    private Operation Begin(OperationKind kind, int place) => new()
    {
        Number = Interlocked.Increment(ref _op),
        Client = ClientOf(place),
        Session = Session,
        Device = Objects.Intern(Plan.Devices[place].Name),
        Kind = kind,
        IntendedNs = _clock.NowNs,
        SentNs = _clock.NowNs,
    };

    private void End(Operation op, Errno err, int obj, At at)
    {
        op.DoneNs = _clock.NowNs;
        op.Err = err;
        op.Outcome = err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
        op.At = at.Seq == 0 ? default : new(obj, at.Gen, at.Seq, at.Life);
        Add(op);
    }

    private void Add(in Operation op)
    {
        lock (_operations)
        {
            _operations.Add(op);
        }
    }

    /// <summary>The clock of this machine, which both silos stamp with.</summary>
    private sealed class EventClock
    {
        public long NowNs => (long)(TimeProvider.System.GetTimestamp()
            * (1e9 / TimeProvider.System.TimestampFrequency));
    }

    private sealed class SharedLog : ILifecycleLog
    {
        public ConcurrentQueue<HistoryEvent> Events { get; } = [];

        public Func<IReadOnlyList<HistoryEvent>, Task>? Hold { get; set; }

        public ValueTask CommitAsync(IReadOnlyList<HistoryEvent> events)
        {
            if (Hold?.Invoke(events) is { IsCompletedSuccessfully: false } held)
            {
                return new(After(held, [.. events]));
            }

            foreach (var one in events)
            {
                Events.Enqueue(one);
            }

            return ValueTask.CompletedTask;
        }

        private async Task After(Task held, HistoryEvent[] events)
        {
            await held;
            foreach (var one in events)
            {
                Events.Enqueue(one);
            }
        }
    }
}
