using Fleet.Protocol.Plans;

namespace Fleet.Simulation.Cluster;

/// <summary>Everything that one simulated run is made of: the same plan and seed give the same history.</summary>
/// <param name="Run">Profile, seed, patience and injections, as a live silo gets them.</param>
/// <param name="RequiredProbes">Probes that have to be above zero for a valid verdict.</param>
public sealed record SimulationPlan(
    RunPlan Run,
    IReadOnlyList<HostPlan> Hosts,
    LoadPlan Load,
    UnbindPlan Unbind,
    IReadOnlyList<PhasePlan> Phases,
    IReadOnlyList<FaultPlan> Faults,
    IReadOnlyList<string> RequiredProbes)
{
    /// <summary>Processes that host the fleet.</summary>
    public int Silos { get; init; } = 3;

    /// <summary>Processes that share the clients, each with a session of its own.</summary>
    public int Generators { get; init; } = 1;

    public NetworkPlan Network { get; init; } = new();

    public DatabasePlan Database { get; init; } = new();

    public LivenessPlan Liveness { get; init; } = new();

    /// <summary>A defect of Fleet itself, for the tests that must find it.</summary>
    public PlantedBug Bug { get; init; }

    /// <summary>Keeps no record: the online checker and the digest are all that is left of a run.</summary>
    /// <remarks>For runs whose history would not fit into memory; such a run is not judged afterwards.</remarks>
    public bool IsDigestOnly { get; init; }
}

/// <summary>What the clients do.</summary>
/// <param name="ArrivalsOf">When the operations of the n-th client are due, whatever the answers do; null: each client
/// sends when its last answer came.</param>
/// <param name="DeviceWeights">Popularity of each device, in the order of the hosts.</param>
/// <param name="Deadline">After it the outcome of a call is unknown to its client.</param>
public sealed record LoadPlan(
    int Clients,
    Func<int, IArrivals>? ArrivalsOf,
    double AllocWeight,
    double AccessWeight,
    double FreeWeight,
    double UnbindWeight,
    IReadOnlyList<(long Bytes, double Weight)> Sizes,
    HoldPlan Hold,
    IReadOnlyList<double> DeviceWeights,
    TimeSpan Deadline)
{
    /// <summary>Operations per call.</summary>
    public int VectorLength { get; init; } = 1;
}

/// <summary>When the operations of one client are due, in order.</summary>
public interface IArrivals
{
    /// <summary>False once everything was due.</summary>
    bool HasNext { get; }

    /// <summary>Since the first phase began; meaningful while there is a next one.</summary>
    long DueNs { get; }

    void Advance();
}

/// <summary>Operations at even distances.</summary>
/// <param name="perSecond">Of all clients together.</param>
/// <param name="seconds">How long.</param>
public sealed class EvenArrivals(int client, int clients, double perSecond, double seconds) : IArrivals
{
    private long _number = client;

    public bool HasNext => _number < (long)(perSecond * seconds);

    public long DueNs => (long)(_number / perSecond * 1e9);

    public void Advance() => _number += clients;
}

public enum HoldKind : byte { Constant, Uniform, Exponential }

/// <summary>Time between an alloc and its free.</summary>
/// <param name="First">The value; the least; or the mean.</param>
/// <param name="Most">The longest; ignored for a constant.</param>
public sealed record HoldPlan(HoldKind Kind, TimeSpan First, TimeSpan Most);

public enum HolderChoice : byte { Prefer, Any, Avoid }

/// <param name="Patience">How long a bind or unbind may take at the end before it counts as stuck.</param>
public sealed record UnbindPlan(TimeSpan RebindAfter, HolderChoice WithHolders, TimeSpan Patience);

/// <param name="RateShare">Of the rate, or of the clients in a closed loop.</param>
/// <param name="IsDrain">Nothing new: the longest time that clients have to free what they hold.</param>
public sealed record PhasePlan(string Name, TimeSpan For, double RateShare, bool IsDrain);

public enum SimulatedFault : byte
{
    SiloKill,
    SiloPause,
    SiloRestart,
    DatabaseDown,
    DatabaseSlow,
    MessageDelay,
    MessageDrop,
    MessageDuplicate,
    SurpriseRemove,

    /// <summary>One silo does not reach the database.</summary>
    DatabaseCut,

    /// <summary>Two silos do not reach each other.</summary>
    Partition,

    /// <summary>One silo reaches neither the others nor the database; its clients reach it.</summary>
    Isolate,

    /// <summary>A generator after the first dies; another goes on with its share a while later.</summary>
    GeneratorKill,
}

/// <summary>One kind of fault and when it strikes.</summary>
/// <param name="At">Once, so long after the load began; null where it is drawn.</param>
/// <param name="EveryMean">Again and again, with this mean between; null where it is not.</param>
/// <param name="Probability">Share of the messages that are struck; only for messages.</param>
/// <param name="For">How long it lasts; a default by kind where null.</param>
/// <param name="Target">Number of the silo from 1, or key of the device; null draws one.</param>
/// <param name="Expect">What it may cause.</param>
public sealed record FaultPlan(
    SimulatedFault Kind, TimeSpan? At, TimeSpan? EveryMean, double Probability, TimeSpan? For, string? Target,
    IReadOnlyList<string> Expect);

/// <summary>One-way times of messages, each drawn evenly between the two.</summary>
public sealed record NetworkPlan
{
    public TimeSpan LocalLeast { get; init; } = TimeSpan.FromMicroseconds(5);

    public TimeSpan LocalMost { get; init; } = TimeSpan.FromMicroseconds(50);

    public TimeSpan RemoteLeast { get; init; } = TimeSpan.FromMicroseconds(100);

    public TimeSpan RemoteMost { get; init; } = TimeSpan.FromMicroseconds(900);

    /// <summary>What a delay fault adds at most.</summary>
    public TimeSpan DelayMost { get; init; } = TimeSpan.FromMilliseconds(400);

    /// <summary>An agent repeats a call to another one when no answer came for so long.</summary>
    public TimeSpan RetryAfter { get; init; } = TimeSpan.FromSeconds(1);
}

/// <summary>How long the database takes for a commit, drawn evenly between the two.</summary>
public sealed record DatabasePlan
{
    public TimeSpan Least { get; init; } = TimeSpan.FromMicroseconds(100);

    public TimeSpan Most { get; init; } = TimeSpan.FromMicroseconds(1500);

    public TimeSpan SlowMost { get; init; } = TimeSpan.FromMilliseconds(800);

    /// <summary>A refused or unanswered commit is tried again after so long.</summary>
    public TimeSpan RetryAfter { get; init; } = TimeSpan.FromMilliseconds(100);
}

/// <summary>How the cluster finds out who is alive.</summary>
public sealed record LivenessPlan
{
    public TimeSpan DetectLeast { get; init; } = TimeSpan.FromSeconds(3);

    public TimeSpan DetectMost { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a silo that wakes up after it was declared dead may serve before it notices.</summary>
    public TimeSpan NoticeMost { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>How long clients may go on sending to a silo that was declared dead.</summary>
    public TimeSpan RouteRefresh { get; init; } = TimeSpan.FromSeconds(30);

    public TimeSpan RestartAfter { get; init; } = TimeSpan.FromSeconds(5);
}

/// <summary>Defects of Fleet that a simulation has to find; none in a plan that is run in earnest.</summary>
public enum PlantedBug : byte
{
    None,

    /// <summary>
    /// The database accepts commits of an earlier incarnation, and the reborn one takes no new number.
    /// </summary>
    NoFencing,

    /// <summary>A slot's report says what changed since the last one, instead of everything.</summary>
    ReportNotCumulative,

    /// <summary>A message that comes twice is executed twice.</summary>
    ExecuteTwice,

    /// <summary>A question about a lost answer does not bar the operation.</summary>
    ResolveIsNoBarrier,

    /// <summary>
    /// Who goes on for a generator that was killed uses what that one held, although its session was reaped.
    /// </summary>
    HeirUsesWhatWasReaped,

    /// <summary>An answer leaves before the events that precede its position are durable.</summary>
    AnswerBeforeDurable,
}
