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
/// <param name="SharesSections">Resources of a host may lie in one memory section, and so in each other's way.</param>
/// <param name="IsSpread">The objects of one device may live on several silos.</param>
/// <param name="IsFenced">Stale incarnations are refused; without it a run shows what the fences are for.</param>
public sealed record RunPlan(
    string Run, string Profile, ulong Seed, TimeSpan Patience, double LeaseSeconds,
    IReadOnlyList<InjectionPlan> Injections, bool SharesSections = false, bool IsSpread = false,
    bool IsFenced = true);

/// <summary>The drivers that a device may be bound to, as plans name them.</summary>
public static class DriverNames
{
    public const string P2pdma = "p2pdma";
    public const string Dax = "dax";
    public const string PmemFsdax = "pmem-fsdax";
    public const string PmemRaw = "pmem-raw";
    public const string Hmm = "hmm";

    public static IReadOnlyList<string> All { get; } = [P2pdma, Dax, PmemFsdax, PmemRaw, Hmm];
}

/// <summary>One device of the fleet.</summary>
/// <param name="Key">Grain key: <c>host/0000:3b:00.0</c>, <c>host/nd:REGION</c> or <c>host/hmm:N</c>.</param>
/// <param name="Driver">What binds: one of <see cref="DriverNames"/>.</param>
/// <param name="Resources">BARs that become resources, in the driver's order; the one range of any other
/// driver.</param>
public sealed record DevicePlan(string Key, string Driver, IReadOnlyList<PciBar> Resources)
{
    /// <summary>Name of the resource of a device that has no BARs.</summary>
    public const string RangeName = "range0";

    /// <summary>Name in the history: <c>dev:</c> and the key.</summary>
    public string Name => "dev:" + Key;

    /// <summary>Holders pin pages of its page map.</summary>
    public bool HasPins => Driver is DriverNames.Dax or DriverNames.PmemFsdax or DriverNames.Hmm;

    /// <summary>Holders have requests in flight in its queue.</summary>
    public bool HasQueue => Driver is DriverNames.PmemFsdax or DriverNames.PmemRaw;

    /// <summary>Requests are served by the device itself: it has a plain mapping and no page map.</summary>
    public bool HasPlainMapping => Driver is DriverNames.PmemRaw;

    /// <summary>Key of the page map's and the resource's grain.</summary>
    /// <param name="resource">Index into <see cref="Resources"/>.</param>
    public string ResourceKey(int resource) =>
        Driver is DriverNames.P2pdma ? $"{Key}/bar{Resources[resource].Bar}" : $"{Key}/{RangeName}";

    /// <summary>Key of a request queue's counter where the page map counts on a ref of its own.</summary>
    public string QueueKey => Key + "/queue";

    /// <summary>Name of its machine.</summary>
    public string Host => Key[..Key.IndexOf('/', StringComparison.Ordinal)];

    /// <summary>Name of the request queue: <c>queue:HOST/pmemN</c>, N being the number of the region.</summary>
    public string QueueName
    {
        get
        {
            var region = Key[(Key.LastIndexOf(':') + 1)..];
            return $"queue:{Host}/pmem{region[region.TrimEnd("0123456789".ToCharArray()).Length..]}";
        }
    }


    /// <summary>Keys of every resource that some profile gives the device.</summary>
    public IEnumerable<string> RefKeys()
    {
        for (var resource = 0; resource < Resources.Count; resource++)
        {
            yield return ResourceKey(resource);
        }

        if (Driver is DriverNames.P2pdma)
        {
            yield return Key + "/shared";
        }
        else if (HasQueue)
        {
            yield return QueueKey;
        }
    }

    public string MapName(int resource) => "map:" + ResourceKey(resource);

    /// <param name="resource">Index into <see cref="Resources"/>, or -1 for the ref that a device shares.</param>
    public string RefName(int resource) => "ref:" + RefKey(resource);

    /// <inheritdoc cref="RefName"/>
    public string RefKey(int resource) => resource < 0 ? Key + "/shared" : ResourceKey(resource);
}

/// <summary>One machine with its devices.</summary>
public sealed record HostPlan(string Name, IReadOnlyList<DevicePlan> Devices);
