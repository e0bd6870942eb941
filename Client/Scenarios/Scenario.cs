using System.Collections.Immutable;
using Fleet.Client.Inventory;
using Fleet.Kernel;
using Fleet.Kernel.Host;
using Fleet.Silo.Cluster;

namespace Fleet.Client.Scenarios;

/// <summary>A complete description of one load: who is hammered, how, for how long, and what is expected.</summary>
/// <remarks>Source: scenario-format.md. A value; the same one drives every engine.</remarks>
/// <param name="Seed">Every random choice comes from it; never 0 (a file's 0 was drawn when it was read).</param>
/// <param name="Expect">Profile → expected verdict; profiles that are not named are not compared.</param>
public sealed record Scenario(
    string Name,
    string Claim,
    string Profile,
    ImmutableSortedDictionary<string, ExpectedVerdict> Expect,
    ulong Seed,
    FleetOptions Fleet,
    LoadOptions Load,
    UnbindOptions Unbind,
    ImmutableArray<Phase> Phases,
    ImmutableArray<Fault> Faults,
    ImmutableArray<string> RequiredProbes,
    ImmutableArray<Threshold> Thresholds)
{
    /// <summary>What every silo of the run's cluster does alike.</summary>
    public ClusterSettings Cluster { get; init; } = new();

    public bool IsFenced => Cluster.IsFenced;

    public TimeSpan Duration => Phases.Aggregate(TimeSpan.Zero, (sum, phase) => sum + phase.For);
}

public enum ExpectedVerdict
{
    Valid,
    Invalid,
}

/// <param name="Inventory"><c>generated</c>, <c>scan</c>, or the path of an lspci text or a sysfs tree.</param>
/// <param name="Replicate">Makes this many hosts of an inventory that describes one.</param>
/// <param name="DevicesMax">Takes only this many devices; null takes all.</param>
public sealed record FleetOptions(
    string Inventory,
    int Hosts,
    int DevicesPerHost,
    int Replicate,
    int? DevicesMax,
    int Resources,
    long ResourceSizeBytes,
    SectionPlacement Sections,
    GrainPlacement Placement,
    ImmutableArray<Weighted<DriverKind>> Drivers)
{
    public const string Generated = "generated";
}

public enum GrainPlacement
{
    Colocated,
    Spread,
}

public enum DriverKind
{
    P2pdma,
    Dax,
    PmemFsdax,
    PmemRaw,
    Hmm,
}

public readonly record struct Weighted<T>(T Value, double Weight);

/// <param name="Deadline">The client's own, per call; after it the outcome is unknown.</param>
/// <param name="VectorLength">Operations per call.</param>
public sealed record LoadOptions(
    int Clients,
    Arrival Arrival,
    OperationWeights Operations,
    ImmutableArray<Weighted<long>> SizeBytes,
    HoldTime Hold,
    DeviceChoice Devices,
    int VectorLength,
    TimeSpan Deadline);

/// <summary>Relative frequencies; a client frees only what it holds.</summary>
public sealed record OperationWeights(double Alloc, double Access, double Free, double Unbind)
{
    public double Total => Alloc + Access + Free + Unbind;
}

/// <summary>When operations are due.</summary>
public abstract record Arrival
{
    /// <summary>Each client sends when its last answer came.</summary>
    public sealed record Closed : Arrival;

    /// <summary>Operations are due at times that no answer changes.</summary>
    public sealed record Open(Rate Rate) : Arrival;
}

/// <summary>Operations per second of the whole load, over time.</summary>
public abstract record Rate
{
    public sealed record Constant(double PerSecond) : Rate;

    public sealed record Ramp(double FromPerSecond, double ToPerSecond, TimeSpan Over) : Rate;

    public sealed record Step(ImmutableArray<double> PerSecond, TimeSpan Every) : Rate;

    public sealed record Sine(double PerSecond, double AmplitudePerSecond, TimeSpan Period) : Rate;

    public sealed record Burst(double PerSecond, double PeakPerSecond, TimeSpan Every, TimeSpan For) : Rate;

    public sealed record Poisson(double PerSecond) : Rate;
}

public abstract record HoldTime
{
    public sealed record Constant(TimeSpan Value) : HoldTime;

    public sealed record Uniform(TimeSpan Min, TimeSpan Max) : HoldTime;

    public sealed record Exponential(TimeSpan Mean, TimeSpan Max) : HoldTime;
}

public abstract record DeviceChoice
{
    public sealed record Uniform : DeviceChoice;

    /// <param name="Exponent">The n-th most popular device is chosen in proportion to n to the power of minus
    /// this.</param>
    public sealed record Zipf(double Exponent) : DeviceChoice;

    /// <param name="Share">Of all operations, this share goes to the first <paramref name="Devices"/> devices.</param>
    public sealed record Hot(int Devices, double Share) : DeviceChoice;
}

public enum HolderPreference
{
    /// <summary>A device on which something is allocated is unbound first.</summary>
    Prefer,
    Any,
    Avoid,
}

/// <param name="Patience">How long an unbind may take before it counts as stuck, once nothing else moves.</param>
public sealed record UnbindOptions(TimeSpan RebindAfter, HolderPreference WithHolders, TimeSpan Patience);

/// <param name="RateShare">Of the load's full rate, or of its clients in a closed loop; 0 sends nothing new.</param>
/// <param name="OwnRate">Of this phase alone, from its begin, instead of the load's; null for a share of the
/// load's.</param>
public sealed record Phase(string Name, TimeSpan For, double RateShare, Rate? OwnRate = null)
{
    /// <summary>A phase of this name sends nothing new unless it says so, and ends as soon as everything is
    /// freed.</summary>
    public const string Drain = "drain";
}

public enum FaultKind
{
    Inject,
    SiloKill,
    SiloPause,
    SiloRestart,
    Partition,
    DbKill,
    DbSlow,
    Message,
    SurpriseRemove,
    GeneratorKill,

    /// <summary>Silos lose the database, which goes on running.</summary>
    DbCut,

    /// <summary>A silo loses the other silos and the database at once, and clients still reach it.</summary>
    Isolate,
}

/// <param name="Point">The model's named step that an injection strikes; null for other kinds.</param>
/// <param name="Errno">Name of the error that an injection returns.</param>
/// <param name="Expect">What it may cause; anything else that it is blamed for fails the run.</param>
public sealed record Fault(
    FaultKind Kind,
    FailPoint? Point,
    Errno? Errno,
    string? Target,
    FaultSchedule When,
    TimeSpan? For,
    ImmutableArray<string> Expect);

public abstract record FaultSchedule
{
    public sealed record Probability(double Value) : FaultSchedule;

    /// <param name="Number">Strikes the n-th time the step is reached, counted from 1 per device.</param>
    public sealed record Nth(long Number) : FaultSchedule;

    /// <param name="After">From the start of the first phase.</param>
    public sealed record At(TimeSpan After) : FaultSchedule;

    public sealed record Interval(TimeSpan Mean) : FaultSchedule;
}

/// <param name="Metric">Name of a <see cref="ThresholdMetric"/>.</param>
/// <param name="Of">The operation or probe that the metric is measured of; null for all, or where it has none.</param>
/// <param name="Below">In the metric's own unit.</param>
/// <param name="AbortOnFail">A miss ends the load.</param>
/// <param name="After">Not looked at before the load has run for so long.</param>
public sealed record Threshold(
    string Metric, string? Of, double? Below, double? Above, bool AbortOnFail, TimeSpan After);
