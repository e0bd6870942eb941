using System.Collections.Concurrent;
using Fleet.Checking;
using Fleet.Grains;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.P2pdma;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;
using Fleet.Silo;

namespace Fleet.Grains.Tests;

/// <summary>
/// A real silo in this process with one device of one or two resources, and everything that it recorded.
/// </summary>
internal sealed class LiveFleet : IAsyncDisposable
{
    public const string Host = "host-0001";
    public const string Device = Host + "/0000:00:00.0";
    public const ulong ResourceBytes = 64 * 1024;

    private readonly EmbeddedFleet _fleet;
    private readonly MemoryLog _log;
    private long _op;

    private LiveFleet(
        EmbeddedFleet fleet, MemoryLog log, ObjectTable objects, OnlineChecker checker, PositionWatch positions,
        HostPlan plan,
        RunPlan run)
    {
        (_fleet, _log, Objects, Checker, Positions, Plan, Run) = (fleet, log, objects, checker, positions, plan, run);
        Session = objects.Intern("session:gen-01");
    }

    public ObjectTable Objects { get; }

    public OnlineChecker Checker { get; }

    public HostPlan Plan { get; }

    public RunPlan Run { get; }

    public int Session { get; }

    public IGrainFactory Grains => _fleet.Grains;

    public IHostGrain HostGrain => Grains.GetGrain<IHostGrain>(Host);

    public IPciDeviceGrain DeviceGrain => Grains.GetGrain<IPciDeviceGrain>(Device);

    /// <summary>From here on nothing becomes durable until the gate is given back; the task ends with the first commit
    /// that waits for it.</summary>
    public (TaskCompletionSource Gate, Task Waits) HoldCommits() => _log.Hold();

    public IReadOnlyList<HistoryEvent> Events => [.. _log.Events];

    /// <summary>Positions as the objects gave them; each is one more than the last of its object.</summary>
    public PositionWatch Positions { get; }

    public static Task<LiveFleet> Start(string profile, int resources = 1, params InjectionPlan[] injections) =>
        Start(profile, devices: 1, resources, injections);

    public static async Task<LiveFleet> Start(string profile, int devices, int resources, InjectionPlan[] injections)
    {
        var objects = new ObjectTable();
        var log = new MemoryLog();
        var checker = new OnlineChecker(profile, objects, _ => { });
        var positions = new PositionWatch(checker);
        var fleet = await EmbeddedFleet.StartAsync(
            new EmbeddedFleetOptions
            {
                Run = "test-" + Guid.NewGuid().ToString("n"),
                Objects = objects,
                Log = log,
                Streams = positions,
                LongPoll = TimeSpan.FromMilliseconds(200),
            },
            CancellationToken.None);
        var plan = new HostPlan(Host, [.. Enumerable.Range(0, devices).Select(d => new DevicePlan(
            $"{Host}/0000:{d:x2}:00.0", "p2pdma",
            [.. Enumerable.Range(0, resources).Select(
                i => new PciBar(2 + i, true, ((ulong)d + 1 << 34) + ((ulong)i << 30), ResourceBytes))]))]);
        var run = new RunPlan("test", profile, 1, TimeSpan.FromMilliseconds(200), 30, injections);
        return new(fleet, log, objects, checker, positions, plan, run);
    }

    public Task<BuildReply> Build() => HostGrain.Build(Run, Plan).AsTask();

    public Task<AllocReply> Alloc(ulong sizeBytes = 4096) =>
        DeviceGrain.Alloc(new(++_op, Session, sizeBytes)).AsTask();

    public Task<FreeReply> Free(AllocReply held, ulong sizeBytes = 4096) =>
        DeviceGrain.Free(new(++_op, Session, held.At.Gen, held.Number, held.Address, sizeBytes)).AsTask();

    public Task<AccessReply> Write(AllocReply held, ulong tag) => Access(held, AccessDirection.Write, tag);

    public Task<AccessReply> Read(AllocReply held) => Access(held, AccessDirection.Read, 0);

    public IPgmapGrain Map(AllocReply held) =>
        Grains.GetGrain<IPgmapGrain>(Plan.Devices[0].ResourceKey(held.Resource));

    /// <summary>Polls a ticket until it is done.</summary>
    public async Task<TicketReply> Await(TicketReply ticket)
    {
        while (!ticket.IsDone)
        {
            ticket = await DeviceGrain.AwaitTicket(ticket.Ticket);
        }

        return ticket;
    }

    /// <summary>Begins an unbind and polls until it says that it waits for something in particular.</summary>
    public async Task<TicketReply> UnbindUntil(string waitsFor) =>
        await Until(await DeviceGrain.Unbind(++_op), waitsFor);

    public async Task<TicketReply> Until(TicketReply ticket, string waitsFor)
    {
        while (!ticket.IsDone && !ticket.WaitsFor!.Contains(waitsFor, StringComparison.Ordinal))
        {
            ticket = await DeviceGrain.AwaitTicket(ticket.Ticket);
        }

        Assert.False(ticket.IsDone, $"done, and never waited for \"{waitsFor}\"");
        return ticket;
    }

    public async Task<Errno> Bind() => (await Await(await DeviceGrain.Bind(++_op))).Err;

    public async Task<Errno> Unbind() => (await Await(await DeviceGrain.Unbind(++_op))).Err;

    /// <summary>Kinds of the events of one object, in its own order.</summary>
    public EventKind[] Kinds(string name) =>
        [.. Stream(name).Select(e => e.Kind).Where(k => k is not (EventKind.GpWaitBegin or EventKind.GpWaitEnd))];

    public IEnumerable<HistoryEvent> Stream(string name) =>
        Events.Where(e => e.At.Obj == Objects.Find(name)).OrderBy(e => (e.At.Gen, e.At.Seq));

    public ValueTask DisposeAsync() => _fleet.DisposeAsync();

    private Task<AccessReply> Access(AllocReply held, AccessDirection direction, ulong tag) => Map(held).Access(
        new(++_op, Session, held.At.Gen, held.Number, held.Address >> 12, 1, direction, AccessVia.Dma, tag)).AsTask();

    private sealed class MemoryLog : ILifecycleLog
    {
        private TaskCompletionSource? _gate;
        private TaskCompletionSource? _waits;

        public ConcurrentQueue<HistoryEvent> Events { get; } = [];

        public (TaskCompletionSource Gate, Task Waits) Hold()
        {
            _waits = new(TaskCreationOptions.RunContinuationsAsynchronously);
            _gate = new(TaskCreationOptions.RunContinuationsAsynchronously);
            return (_gate, _waits.Task);
        }

        public ValueTask CommitAsync(IReadOnlyList<HistoryEvent> events)
        {
            _waits?.TrySetResult();
            foreach (var one in events)
            {
                Events.Enqueue(one);
            }

            return _gate is { } gate ? new(gate.Task) : ValueTask.CompletedTask;
        }
    }
}
