using Fleet.Checking.History;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Simulation.Exploration;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Replay;

/// <summary>One schedule of a p2p world as a history: every event with its position, every client operation.</summary>
/// <remarks>
/// The order of the records is the one total order in which everything happened. Source: history-format.
/// Only worlds whose driver is p2p: the objects of the others have no names there yet.
/// </remarks>
public sealed class ScheduleHistory : IKernelListener
{
    private const string Device = "explore/0000:01:00.0";

    private readonly World _world;
    private readonly Dictionary<int, long> _sequences = [];
    private readonly Dictionary<ulong, AllocId> _allocations = [];
    private readonly List<HistoryRecord> _records = [];
    private readonly int _device;
    private long _allocationCount;
    private long _time;

    private ScheduleHistory(World world)
    {
        _world = world;
        _device = Objects.Intern($"dev:{Device}");
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
    /// <exception cref="ArgumentException">The world has another driver, or the schedule does not fit.</exception>
    public static ScheduleHistory Of(ReplayToken token)
    {
        if (token.Scenario.Driver is not WorldDriver.P2p)
        {
            throw new ArgumentException($"{token.Scenario.Id} has no history: only worlds of the p2p driver have one.");
        }

        return Explorer.OnOwnThread(() => Run(token));
    }

    public void Emit(in KernelEvent happened)
    {
        // What the finer steps say, the operations of the clients say too.
        if (happened.Subject is DevPagemap { Consumer: PagemapConsumer.Foreign }
            || happened.Kind is EventKind.AllocBegin or EventKind.AllocEnd or EventKind.FreeBegin or EventKind.FreeEnd)
        {
            return;
        }

        _records.Add(new HistoryEvent
        {
            Kind = happened.Kind,
            At = Next(Id(happened.Subject) is var id and not 0 ? id : _device),
            Proc = 0,
            TimeNs = ++_time,
            Actor = _world.Actors[_world.Judge.Actor].Name,
            Err = happened.Err,
            Other = Id(happened.Other),
            Start = happened.Start,
            SizeBytes = happened.SizeBytes,
            Pfn = happened.Pfn,
            Count = happened.Count,
            Node = happened.Node,
            Fn = happened.Fn,
            Text = happened.Text ?? Kind(happened),
        });
    }

    internal void Allocated(in P2pAllocResult result, ulong sizeBytes)
    {
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
        RefObject { Resource: >= 0 } counted => Objects.Intern($"ref:{Device}/bar{counted.Resource * 2}"),
        RefObject => Objects.Intern($"ref:{Device}/shared"),
        DevPagemap { Container: P2pPagemap held } => Objects.Intern($"map:{Device}/bar{held.Index * 2}"),
        P2pPool => Objects.Intern($"pool:{Device}"),
        P2pPagemap held => Objects.Intern($"pgmap:{Device}/bar{held.Index * 2}"),
        PciP2pdma => Objects.Intern($"p2pdma:{Device}"),
        _ => 0,
    };

    private static string? Kind(in KernelEvent happened) =>
        happened.Kind is EventKind.ObjAlloc or EventKind.ObjFree
            ? happened.Other?.Kind.ToString().ToLowerInvariant()
            : null;
}
