using Fleet.Checking.History;
using Fleet.Kernel;
using Fleet.Kernel.Block;
using Fleet.Kernel.Drivers;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Replay;

/// <summary>One schedule as a history: every event with its position, every operation of a client.</summary>
/// <remarks>
/// The order of the records is the one total order in which everything happened. What a kernel's object is called
/// depends on where it stands, as in the live fleet: a devres action's data by the memory that it lies in.
/// Source: history-format.
/// </remarks>
public sealed class ScheduleHistory : IKernelListener
{
    private const string Host = "explore";

    private readonly World _world;
    private readonly Dictionary<int, long> _sequences = [];
    private readonly Dictionary<ulong, AllocId> _allocations = [];
    private readonly List<HistoryRecord> _records = [];
    private readonly Dictionary<(int Map, ulong Pfn), Stack<AllocId>> _pins = [];
    private readonly Dictionary<int, ulong> _allocating = [];
    private readonly Dictionary<int, int> _tried = [];
    private readonly Dictionary<int, int> _waits = [];
    private readonly string _name;
    private readonly string _pagemap;
    private readonly int _device;
    private KernelObject? _killed;
    private Position _addResource;
    private long _allocationCount;
    private long _time;

    private ScheduleHistory(World world)
    {
        _world = world;
        _name = world.Scenario.Driver switch
        {
            WorldDriver.P2p => $"{Host}/0000:01:00.0",
            WorldDriver.HmmAdd or WorldDriver.HmmAddResource => $"{Host}/hmm:0",
            _ => $"{Host}/nd:region0",
        };
        _device = Objects.Intern($"dev:{_name}");

        // Where each resource has its own ref, the ref lies in the memory of its page map.
        var hasOwnRef = world.Profile.Switches.Any(one => one.Switch is KernelSwitch.RefPerResource);
        _pagemap = hasOwnRef ? "p2p_pgmap" : "pgmap";
    }

    public ObjectTable Objects { get; } = new();

    /// <summary>Everything in the order in which it happened.</summary>
    public IReadOnlyList<HistoryRecord> Records => _records;

    public required HistoryHeader Header { get; set; }

    /// <exception cref="ArgumentException">The text is no token, or it has no history.</exception>
    public static ScheduleHistory Of(string token) => ReplayToken.TryParse(token, out var parsed)
        ? Of(parsed)
        : throw new ArgumentException($"The token cannot be read; accepted: {ReplayToken.Form}.");

    /// <summary>Runs a schedule and writes down what happens, the prologue included.</summary>
    /// <exception cref="ArgumentException">The schedule does not fit.</exception>
    public static ScheduleHistory Of(ReplayToken token) => Explorer.OnOwnThread(() => Run(token));

    public void Emit(in KernelEvent happened)
    {
        // What the finer steps say, the operations of the clients say too.
        if (happened.Subject is DevPagemap { Consumer: PagemapConsumer.Foreign }
            || happened.Kind is EventKind.AllocBegin or EventKind.AllocEnd or EventKind.FreeBegin or EventKind.FreeEnd)
        {
            return;
        }

        EndSwitch(happened);
        var actor = _world.Judge.Actor;
        switch (happened.Kind)
        {
            case EventKind.ChunkTry:
                _tried[actor] = happened.Other is RefObject { Container.IsFreed: true } ? Id(happened.Other) : 0;
                break;
            case EventKind.WaitBegin or EventKind.QueueWaitBegin:
                _waits[actor] = Id(happened.Subject);
                break;
            case EventKind.WaitEnd or EventKind.QueueWaitEnd:
                _waits.Remove(actor);
                break;
            case EventKind.RefKill when happened.Text is null:
                _killed = happened.Subject;
                break;
        }

        // A page fault is the page map's own; so is every other event that names no object but concerns one.
        var subject = happened is { Kind: EventKind.Oops, Other: DevPagemap or LinearMapping }
            ? happened.Other
            : happened.Subject;
        var at = Next(Id(subject) is var id and not 0 ? id : _device);
        if (happened.Kind is EventKind.AddResourceBegin)
        {
            _addResource = at;
        }

        _records.Add(new HistoryEvent
        {
            Kind = happened.Kind,
            At = at,
            Proc = 0,
            TimeNs = ++_time,
            Actor = _world.Actors[_world.Judge.Actor].Name,
            Err = happened.Err,
            Other = OtherOf(happened),
            Alloc = PinOf(happened),
            After = happened.Kind is EventKind.RefKill && _addResource.Seq != 0 ? [_addResource] : [],
            Start = happened.Start,
            SizeBytes = happened.SizeBytes,
            Pfn = happened.Pfn,
            Count = happened.Count,
            Node = happened.Node,
            Fn = happened.Fn,
            Text = happened.Text ?? Kind(happened),
        });
        if (happened.Kind is EventKind.AddResourceEnd)
        {
            _addResource = default;
        }

        if (happened.Kind is EventKind.RefInit or EventKind.RefExit)
        {
            AddPercpuMemory(happened);
        }

        if (happened.Kind is EventKind.Oops && _allocating.Remove(actor, out var sizeBytes))
        {
            // Whoever died in an alloc never answered; what it had chosen by then is known all the same.
            _records.Add(Operation(OperationKind.Alloc, Errno.EFAULT, Next(_device)) with
            {
                SizeBytes = sizeBytes,
                Owner = _tried.GetValueOrDefault(actor),
            });
        }
    }

    /// <summary>A ref that already counts centrally has nothing to switch: its kill is confirmed at once.</summary>
    private void EndSwitch(in KernelEvent next)
    {
        if (_killed is { } killed && (next.Kind is not EventKind.SwitchBegin || next.Subject != killed))
        {
            Add(EventKind.SwitchDone, Id(killed), 0, null);
        }

        _killed = null;
    }

    /// <summary>Whoever waits and can never go on hangs; nobody else tells it.</summary>
    private void EndWaits(uint unfinished)
    {
        EndSwitch(default);
        foreach (var (actor, counted) in _waits.OrderBy(one => one.Key))
        {
            if ((unfinished & (1U << actor)) != 0)
            {
                _world.Judge.Actor = actor;
                Add(EventKind.Hang, _device, counted, "stuck");
            }
        }
    }

    private void Add(EventKind kind, int at, int other, string? text) => _records.Add(new HistoryEvent
    {
        Kind = kind,
        At = Next(at),
        TimeNs = ++_time,
        Actor = _world.Actors[_world.Judge.Actor].Name,
        Other = other,
        Text = text,
    });

    /// <summary>The counters of a ref are memory of their own: made by its init, freed by its exit.</summary>
    private void AddPercpuMemory(in KernelEvent happened)
    {
        if (happened.Subject is not RefObject { Container: PlainMemory } && Id(happened.Subject) is var id and not 0)
        {
            var name = Objects.Name(id);
            Add(
                happened.Kind is EventKind.RefInit ? EventKind.ObjAlloc : EventKind.ObjFree,
                _device,
                Objects.Intern($"percpu{name[name.IndexOf(':', StringComparison.Ordinal)..]}"),
                "percpu");
        }
    }

    internal void AllocBegins(ulong sizeBytes)
    {
        _allocating[_world.Judge.Actor] = sizeBytes;
        _tried.Remove(_world.Judge.Actor);
    }

    internal void Allocated(in P2pAllocResult result, ulong sizeBytes)
    {
        _allocating.Remove(_world.Judge.Actor);
        var operation = Operation(OperationKind.Alloc, result.Err, Next(_device)) with { SizeBytes = sizeBytes };
        if (result.Succeeded)
        {
            var alloc = new AllocId(_device, 1, ++_allocationCount);
            _allocations[result.Allocation.Address] = alloc;
            operation.Alloc = alloc;
            operation.Address = result.Allocation.Address;
            operation.Owner = Id(result.Allocation.Owner);
        }

        _records.Add(operation);
    }

    internal void Freed(in P2pAllocation allocation) =>
        _records.Add(Operation(OperationKind.Free, Errno.OK, Next(_device)) with
        {
            Alloc = _allocations[allocation.Address],
            Address = allocation.Address,
            SizeBytes = allocation.SizeBytes,
            Owner = Id(allocation.Owner),
        });

    internal void Accessed(in P2pAllocation allocation, DevPagemap map, Errno error)
    {
        var id = Id(map);
        _records.Add(Operation(OperationKind.Access, error, Next(id)) with
        {
            Alloc = _allocations[allocation.Address],
            Map = id,
            Pfn = allocation.Address >> DevPagemap.PageShift,
            PageCount = 1,
            Direction = AccessDirection.Write,
            Via = AccessVia.Cpu,
        });
    }

    private static ScheduleHistory Run(ReplayToken token)
    {
        var world = new World(token.Scenario, token.Profile);
        var history = new ScheduleHistory(world)
        {
            Header = new HistoryHeader
            {
                Run = token.ToString(),
                Source = "exploration",
                Profile = token.Profile.Name,
                Order = HistoryOrder.Total,
                Clock = "steps",
                ClockBoundNs = 0,
                Complete = true,
            },
        };
        world.Judge.Witness = history;
        world.Parts.Clients = history;
        world.Begin();
        foreach (var actor in token.Choices)
        {
            if ((world.EnabledMask() & (1U << actor)) == 0)
            {
                throw new ArgumentException($"The schedule does not fit: {world.Actors[actor].Name} cannot step.");
            }

            world.StepActor(actor);
        }

        // Only a history that nobody can continue says anything about what never came.
        var isOver = world.EnabledMask() == 0 && !world.Judge.IsOver;
        history.Header = history.Header with { Quiescent = isOver };
        history.EndWaits(isOver ? world.UnfinishedMask() : 0);
        return history;
    }

    private Operation Operation(OperationKind kind, Errno error, Position at) => new()
    {
        Number = _records.Count + 1,
        // Who holds in a scenario is one process, whichever actor or prologue takes its step.
        Client = Objects.Intern("client:explore"),
        Session = Objects.Intern("session:explore"),
        Device = _device,
        Kind = kind,
        Outcome = error is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail,
        Err = error,
        IntendedNs = ++_time,
        SentNs = _time,
        DoneNs = _time,
        At = at,
    };

    private Position Next(int obj)
    {
        var sequence = _sequences.GetValueOrDefault(obj) + 1;
        if (sequence == 1)
        {
            _records.Add(new HistoryEvent
            {
                Kind = EventKind.Incarnation,
                At = new(obj, 1, 1, 1),
                TimeNs = ++_time,
                Text = "explore",
                Fn = "first",
            });
            sequence = 2;
        }

        _sequences[obj] = sequence;
        return new(obj, 1, sequence, 1);
    }

    private int Id(KernelObject? one) => one switch
    {
        RefObject { IsPolled: true } => Objects.Intern($"ref:{_name}/queue"),
        RefObject when _world.Scenario.Driver is not WorldDriver.P2p => Objects.Intern($"ref:{_name}/range0"),
        RefObject { Resource: >= 0 } counted => Objects.Intern($"ref:{_name}/bar{counted.Resource * 2}"),
        RefObject => Objects.Intern($"ref:{_name}/shared"),
        DevPagemap { Container: P2pPagemap held } => Objects.Intern($"map:{_name}/bar{held.Index * 2}"),
        DevPagemap or LinearMapping => Objects.Intern($"map:{_name}/range0"),
        RequestQueue => Objects.Intern($"queue:{Host}/pmem0"),
        DriverState => Objects.Intern($"driver:{_name}"),
        P2pPool => Objects.Intern($"pool:{_name}"),
        P2pPagemap held => Objects.Intern($"{_pagemap}:{_name}/bar{held.Index * 2}"),
        PciP2pdma => Objects.Intern($"p2pdma:{_name}"),
        _ => 0,
    };

    private int OtherOf(in KernelEvent happened) =>
        happened.Kind is EventKind.DevresAdd or EventKind.DevresRun or EventKind.DevresRemove or EventKind.DevresFree
            && happened.Other is DevPagemap { Container: P2pPagemap held }
            ? Id(held)
            : Id(happened.Other);

    /// <summary>A pin has a name from its get to its put: pins of one page are put newest first.</summary>
    private AllocId PinOf(in KernelEvent happened)
    {
        if (happened.Text != "pin")
        {
            return default;
        }

        var page = (Id(happened.Subject), happened.Pfn);
        if (happened.Kind is EventKind.PageGet)
        {
            var pin = new AllocId(_device, 1, ++_allocationCount);
            if (!_pins.TryGetValue(page, out var held))
            {
                _pins[page] = held = new();
            }

            held.Push(pin);
            return pin;
        }

        return happened.Kind is EventKind.PagePut && _pins.TryGetValue(page, out var pins) && pins.TryPop(out var put)
            ? put
            : default;
    }

    private static string? Kind(in KernelEvent happened) =>
        happened.Kind is EventKind.ObjAlloc or EventKind.ObjFree
            ? happened.Other?.Kind.ToString().ToLowerInvariant()
            : null;
}
