using Fleet.Kernel.P2pdma;

namespace Fleet.Protocol.Plans;

/// <summary>One failure that a fault plan asks for, at a named step.</summary>
/// <remarks>Source: scenario-format, section "A fault plan".</remarks>
/// <param name="Point">Name of the step, such as <c>add_resource.pool_add</c>.</param>
/// <param name="Errno">What the step returns.</param>
/// <param name="Probability">Share of the times that the step is reached, 0 to 1; ignored when <paramref name="Nth"/>
/// is set.</param>
/// <param name="Nth">Only the n-th time at each device, from 1; 0 = by probability.</param>
public sealed record InjectionPlan(string Point, Kernel.Errno Errno, double Probability, long Nth = 0);

/// <summary>Everything that is the same for all devices of a run.</summary>
/// <param name="Run">Run id.</param>
/// <param name="Profile">Name of the kernel profile.</param>
/// <param name="Seed">Every draw of a device comes from this and its name.</param>
/// <param name="Patience">How long a bind or unbind is awaited within one call, before its ticket is handed
/// out.</param>
/// <param name="LeaseSeconds">A session that is not renewed for this long is barred and reaped.</param>
public sealed record RunPlan(
    string Run, string Profile, ulong Seed, TimeSpan Patience, double LeaseSeconds,
    IReadOnlyList<InjectionPlan> Injections);

/// <summary>One device of the fleet.</summary>
/// <param name="Key">Grain key: <c>host/0000:3b:00.0</c>.</param>
/// <param name="Driver">What binds: <c>p2pdma</c>.</param>
/// <param name="Resources">BARs that become resources, in the driver's order.</param>
public sealed record DevicePlan(string Key, string Driver, IReadOnlyList<PciBar> Resources)
{
    /// <summary>Name in the history: <c>dev:</c> and the key.</summary>
    public string Name => "dev:" + Key;

    public string PoolName => "pool:" + Key;

    /// <summary>Key of the page map's and the resource's grain.</summary>
    /// <param name="resource">Index into <see cref="Resources"/>.</param>
    public string ResourceKey(int resource) => $"{Key}/bar{Resources[resource].Bar}";

    public string MapName(int resource) => "map:" + ResourceKey(resource);

    /// <param name="resource">Index into <see cref="Resources"/>, or -1 for the ref that a device shares.</param>
    public string RefName(int resource) => "ref:" + (resource < 0 ? Key + "/shared" : ResourceKey(resource));
}

/// <summary>One machine with its devices.</summary>
public sealed record HostPlan(string Name, IReadOnlyList<DevicePlan> Devices);
