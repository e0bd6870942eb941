using System.Collections.Immutable;
using Fleet.Client.Inventory;
using Fleet.Client.Scenarios;
using Fleet.Client.Simulate;
using Fleet.Kernel.Profiles;
using Fleet.Protocol.Plans;
using Fleet.Storage.Results;
using Fleet.Storage.Server;

namespace Fleet.Client.Runs;

/// <summary>What the command line lays over a scenario; null keeps what the file says.</summary>
public sealed record RunOptions
{
    public string? Profile { get; init; }

    public string? Inventory { get; init; }

    public int? Devices { get; init; }

    public int? Replicate { get; init; }

    public int? Clients { get; init; }

    /// <summary>Length of the phase <c>steady</c>, or of the longest where none has that name.</summary>
    public TimeSpan? Duration { get; init; }

    /// <summary>Operations per second: makes the arrival open.</summary>
    public double? RatePerSecond { get; init; }

    public long? Seed { get; init; }

    public TimeSpan? Patience { get; init; }

    /// <summary>A fault plan whose faults are added.</summary>
    public string? Faults { get; init; }

    public IReadOnlyList<ScenarioOverride> Overrides { get; init; } = [];

    /// <summary>Silo processes that the run starts, or waits for where a cluster is named; 0 for none.</summary>
    public int Silos { get; init; }

    /// <summary>A cluster of silos that somebody started.</summary>
    public string? Cluster { get; init; }

    /// <summary>Generators that share the run; the others join it.</summary>
    public int Generators { get; init; } = 1;

    /// <summary>On a virtual cluster and a virtual clock, instead of a live one.</summary>
    public bool IsSimulated { get; init; }

    /// <summary>Bytes that may wait on disk for the store before clients are held back.</summary>
    public long? SpoolBoundBytes { get; init; }
}

/// <summary>Everything that a run needs to know, checked before anything is started or written.</summary>
/// <param name="Name">Unique in any store: time, scenario, profile, a random tail.</param>
/// <param name="KeepGoing">Go on after a finding that decides the verdict.</param>
public sealed record RunRequest(
    string Name, Scenario Scenario, KernelProfile Profile, FleetPlan Plan, StoreAddress Store, bool KeepGoing,
        string CommandLine)
{
    /// <summary>Silo processes that the run starts or waits for; 0 where the fleet lives in this process.</summary>
    public int Silos { get; init; }

    /// <summary>Name of a cluster that somebody started; null where the run starts its own.</summary>
    public string? Cluster { get; init; }

    /// <summary>Bytes that may wait on disk for the store before clients are held back; null for the default.</summary>
    public long? SpoolBoundBytes { get; init; }

    /// <summary>Generators that share the run, this one included.</summary>
    public int Generators { get; init; } = 1;

    /// <summary>What the others need to make their shares.</summary>
    public SharedPlan? Shared { get; init; }

    /// <summary>The run was cut off, and this goes on with it.</summary>
    public bool IsResumed { get; init; }

    public bool IsEmbedded => Silos == 0 && Cluster is null;

    /// <exception cref="UsageException">Something cannot be read, is unknown, or is not run by this build.</exception>
    public static RunRequest Create(
        string scenarioName, RunOptions options, StoreAddress store, bool keepGoing, string commandLine,
            DateTimeOffset now)
    {
        var scenario = Overlay(ScenarioFile.ReadScenario(scenarioName, options.Overrides), options);
        if (options.IsSimulated)
            SimulationRequest.Demand(scenario);
        else
            RunSupport.Demand(
                scenario,
                new(
                    options.Cluster is null ? options.Silos : 0, PrivateServer.Behind(store) is not null,
                    options.Generators));
        if (!KernelProfile.TryParse(scenario.Profile, out var profile))
            throw new UsageException(
                $"There is no profile {ForeignText.Quote(scenario.Profile)}; accepted: fleet profile list shows them.");

        var tail = Guid.NewGuid().ToString("N")[..4];
        var name = $"{now.UtcDateTime:yyyyMMdd-HHmmss}-{scenario.Name}-{profile.Name}-{tail}";
        if (!options.IsSimulated && (options.Silos > 0 || options.Cluster is not null) && !store.IsPostgres)
            throw new UsageException(
                $"{(options.Cluster is null ? "--silos" : "--cluster")} needs silos that share a database, and the "
                + $"store is a directory; accepted: --store postgres://USER@HOST:PORT/DATABASE, or --store private.");

        if (options.Generators > 1 && options.Silos == 0 && options.Cluster is null)
            throw new UsageException(
                "--generators needs silos that the generators can reach; accepted: --silos N or --cluster NAME with a "
                + "PostgreSQL store.");

        return new(name, scenario, profile, PlanOf(scenario.Fleet), store, keepGoing, commandLine)
        {
            Generators = options.Generators,
            Shared = new(scenarioName, options with { Seed = unchecked((long)scenario.Seed) }, keepGoing),
            Silos = options.Silos,
            Cluster = options.Cluster,
            SpoolBoundBytes = options.SpoolBoundBytes,
        };
    }

    public RunPlan ToRunPlan(TimeSpan callPatience, TimeSpan lease) => new(
        Name,
        Profile.Name,
        Scenario.Seed,
        callPatience,
        lease.TotalSeconds,
        [
            .. Scenario.Faults.Where(fault => fault.Kind is FaultKind.Inject).Select(fault => new InjectionPlan(
                Kernel.Host.FailPoints.WireName(fault.Point!.Value),
                fault.Errno!.Value,
                fault.When is FaultSchedule.Probability probability ? probability.Value : 0,
                fault.When is FaultSchedule.Nth nth ? nth.Number : 0)),
        ],
        Scenario.Fleet.Sections is SectionPlacement.Shared,
        Scenario.Fleet.Placement is GrainPlacement.Spread,
        Scenario.IsFenced);

    private static FleetPlan PlanOf(FleetOptions fleet)
    {
        var isGenerated = fleet.Inventory == FleetOptions.Generated;
        var hosts = isGenerated
            ? GeneratedInventory.Build(
                fleet.Hosts, fleet.DevicesPerHost, fleet.Resources, (ulong)fleet.ResourceSizeBytes)
            : InventoryFile.Replicate(InventoryFile.Read(fleet.Inventory), fleet.Replicate, fleet.Inventory);
        return FleetPlan.Of(
            hosts, fleet.Resources, fleet.Sections, fleet.DevicesMax, isGenerated ? "The generated inventory"
                : fleet.Inventory).WithDrivers(
            [.. fleet.Drivers.Select(driver => (DriverOf(driver.Value), driver.Weight))]);
    }

    private static string DriverOf(DriverKind driver) => driver switch
    {
        DriverKind.Dax => DriverNames.Dax,
        DriverKind.PmemFsdax => DriverNames.PmemFsdax,
        DriverKind.PmemRaw => DriverNames.PmemRaw,
        DriverKind.Hmm => DriverNames.Hmm,
        _ => DriverNames.P2pdma,
    };

    private static Scenario Overlay(Scenario scenario, RunOptions options)
    {
        var fleet = scenario.Fleet with
        {
            Inventory = options.Inventory ?? scenario.Fleet.Inventory,
            Replicate = options.Replicate ?? scenario.Fleet.Replicate,
            DevicesMax = options.Devices ?? scenario.Fleet.DevicesMax,
        };
        if (options.Devices is { } devices && fleet.Inventory == FleetOptions.Generated)
            fleet = fleet with
            {
                Hosts = Math.Min(
                HostInventory.HostsMax, (devices + fleet.DevicesPerHost - 1) / fleet.DevicesPerHost)
            };
        if (options.Replicate is not null && fleet.Inventory == FleetOptions.Generated)
            fleet = fleet with { Hosts = options.Replicate.Value, Replicate = 1 };
        var load = scenario.Load with { Clients = options.Clients ?? scenario.Load.Clients };
        if (options.RatePerSecond is { } rate)
            load = load with { Arrival = new Arrival.Open(new Rate.Constant(rate)) };
        return scenario with
        {
            Profile = options.Profile ?? scenario.Profile,
            Seed = options.Seed is { } seed ? ScenarioReader.SeedOf(seed) : scenario.Seed,
            Fleet = fleet,
            Load = load,
            Unbind = scenario.Unbind with { Patience = options.Patience ?? scenario.Unbind.Patience },
            Phases = options.Duration is { } duration ? Lasting(scenario.Phases, duration) : scenario.Phases,
            Faults = options.Faults is { } plan
                ? [.. scenario.Faults, .. ScenarioFile.ReadFaultPlan(plan).Faults]
                : scenario.Faults,
        };
    }

    private static ImmutableArray<Phase> Lasting(ImmutableArray<Phase> phases, TimeSpan duration)
    {
        var main = phases.FirstOrDefault(phase => phase.Name == "steady")
            ?? phases.Where(phase => phase.RateShare > 0).MaxBy(phase => phase.For)!;
        return [.. phases.Select(phase => phase == main ? phase with { For = duration } : phase)];
    }
}
