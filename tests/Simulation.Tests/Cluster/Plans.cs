using Fleet.Kernel.History;
using Fleet.Kernel.P2pdma;
using Fleet.Protocol.Plans;
using Fleet.Simulation.Cluster;
using Xunit.Abstractions;

namespace Fleet.Simulation.Tests.Cluster;

/// <summary>Small fleets for the tests: short in virtual time, rich in unbinds.</summary>
internal static class Plans
{
    public static SimulationPlan Smoke(string profile, ulong seed, params FaultPlan[] faults) =>
        Of(profile, seed, resources: 1, resourceBytes: 256 * 1024, faults);

    /// <summary>Two small resources: the newer one is often full, and the older one is allocated from.</summary>
    public static SimulationPlan Pair(string profile, ulong seed) => Of(profile, seed, 2, 64 * 1024, []) with
    {
        Load = Load([(4096, 10), (32 * 1024, 45), (64 * 1024, 45)], TimeSpan.FromMilliseconds(40)),
    };

    public static SimulationPlan Of(
        string profile, ulong seed, int resources, ulong resourceBytes, FaultPlan[] faults) => new(
        new RunPlan($"sim-{seed}", profile, seed, TimeSpan.FromSeconds(2), 30, []),
        Hosts(hosts: 2, devices: 4, resources, resourceBytes),
        Load([(4096, 70), (65536, 30)], TimeSpan.FromMilliseconds(20)),
        new(TimeSpan.FromMilliseconds(50), HolderChoice.Prefer, TimeSpan.FromSeconds(5)),
        [
            new("steady", TimeSpan.FromSeconds(faults.Length == 0 ? 2 : 40), 1, false),
            new("drain", TimeSpan.FromSeconds(10), 0, true),
        ],
        faults, []);

    public static LoadPlan Load((long, double)[] sizes, TimeSpan hold) => new(
        16, client => new EvenArrivals(client, 16, 800, 3600), 40, 40, 20, 2, sizes,
        new(HoldKind.Exponential, hold, TimeSpan.FromSeconds(2)),
        [.. Enumerable.Repeat(1.0, 8)], TimeSpan.FromSeconds(3));

    public static HostPlan[] Hosts(int hosts, int devices, int resources, ulong resourceBytes) =>
    [
        .. Enumerable.Range(1, hosts).Select(host => new HostPlan($"host-{host:0000}",
        [
            .. Enumerable.Range(0, devices).Select(device => new DevicePlan(
                $"host-{host:0000}/0000:{device + 1:x2}:00.0", "p2pdma",
                [
                    .. Enumerable.Range(0, resources).Select(resource => new PciBar(
                        resource * 2, true, 0x40_0000_0000UL + ((ulong)((device * 4) + resource) << 27),
                        resourceBytes)),
                ])),
        ])),
    ];

    public static FaultPlan Every(SimulatedFault kind, double seconds, double forSeconds = 0, params string[] expect) =>
        new(
            kind, null, TimeSpan.FromSeconds(seconds), 0,
            forSeconds > 0 ? TimeSpan.FromSeconds(forSeconds) : null, null, expect);

    public static FaultPlan Share(SimulatedFault kind, double share) => new(kind, null, null, share, null, null, []);

    /// <summary>Everything that may strike.</summary>
    public static FaultPlan[] AllFaults() => FaultsOf("all");

    public static FaultPlan[] FaultsOf(string name)
    {
        FaultPlan[] silos =
        [
            Every(SimulatedFault.SiloKill, 15),
            Every(SimulatedFault.SiloPause, 20, 10),
            Every(SimulatedFault.SiloRestart, 20),
        ];
        var remove = Every(SimulatedFault.SurpriseRemove, 4);
        FaultPlan[] database =
        [
            Every(SimulatedFault.DatabaseDown, 10, 1), Every(SimulatedFault.DatabaseSlow, 10, 2),
        ];
        FaultPlan[] messages =
        [
            Share(SimulatedFault.MessageDelay, 0.05), Share(SimulatedFault.MessageDrop, 0.02),
            Share(SimulatedFault.MessageDuplicate, 0.05),
        ];
        FaultPlan[] cuts =
        [
            Every(SimulatedFault.Partition, 15, 6), Every(SimulatedFault.Isolate, 20, 8),
            Every(SimulatedFault.DatabaseCut, 15, 5),
        ];
        return name switch
        {
            "kill" => [silos[0]],
            "kill-slow" => [Every(SimulatedFault.SiloKill, 3), Every(SimulatedFault.DatabaseSlow, 1, 20)],
            "pause" => [silos[1]],
            "restart" => [silos[2]],
            "remove" => [remove],
            "db" => database,
            "messages" => messages,
            "cuts" => cuts,
            _ => [.. silos, remove, .. database, .. messages, .. cuts],
        };
    }

    /// <summary>Long enough for each fault to strike.</summary>
    public static SimulationPlan Short(this SimulationPlan plan) => plan.For(25);

    public static SimulationPlan For(this SimulationPlan plan, double seconds) => plan with
    {
        Phases = [plan.Phases[0] with { For = TimeSpan.FromSeconds(seconds) }, plan.Phases[1]],
    };

    /// <summary>How many seeds are tried: FLEET_SIM_SEEDS asks for more than a run in CI has time for.</summary>
    public static ulong Seeds(ulong absent) =>
        ulong.TryParse(Environment.GetEnvironmentVariable("FLEET_SIM_SEEDS"), out var asked) ? asked : absent;

    /// <summary>Demands that some seed shows a planted defect, and that the same seed is valid without it.</summary>
    public static void DemandFound(ITestOutputHelper output, PlantedBug bug, Func<ulong, SimulationPlan> planOf)
    {
        const ulong seedsMax = 300;
        for (var seed = 1UL; seed <= seedsMax; seed++)
        {
            var plan = planOf(seed);
            SimulationResult? result = null;
            var thrown = Record.Exception(() => result = ClusterSimulation.Run(plan with { Bug = bug }));
            if (thrown is not null || result!.Verdict is not RunVerdict.Valid)
            {
                output.WriteLine($"{bug}: seed {seed}: {thrown?.Message}");
                if (result is not null)
                {
                    Shown.Show(output, result);
                }

                var sound = ClusterSimulation.Run(plan);
                if (sound.Verdict is not RunVerdict.Valid)
                {
                    output.WriteLine("Without it:");
                    Shown.Show(output, sound);
                    Shown.Keep(sound);
                }

                Assert.Equal(RunVerdict.Valid, sound.Verdict);
                return;
            }
        }

        Assert.Fail($"{bug} was not found with {seedsMax} seeds.");
    }

    /// <summary>Scatter lists of eight: one call allocates, uses or frees several.</summary>
    public static SimulationPlan Vectors(string profile, ulong seed, params FaultPlan[] faults)
    {
        var plan = Of(profile, seed, resources: 1, resourceBytes: 1 << 20, faults);
        return plan with { Load = plan.Load with { VectorLength = 8 } };
    }

    /// <summary>Two generators, of which the second is killed again and again and another goes on.</summary>
    public static SimulationPlan Shared(string profile, ulong seed, params FaultPlan[] faults) =>
        Smoke(profile, seed, [Every(SimulatedFault.GeneratorKill, 6), .. faults]) with { Generators = 2 };

    /// <summary>Every object of a device on a silo of its own.</summary>
    public static SimulationPlan Spread(string profile, ulong seed, params FaultPlan[] faults)
    {
        var plan = Smoke(profile, seed, faults);
        return plan with { Run = plan.Run with { IsSpread = true } };
    }

    /// <summary>Resources side by side, so that each is in the way of its neighbours.</summary>
    public static SimulationPlan Sections(string profile, ulong seed, params FaultPlan[] faults)
    {
        var plan = Smoke(profile, seed, faults);
        return plan with
        {
            Run = plan.Run with { SharesSections = true },
            Hosts =
            [
                .. plan.Hosts.Select(host => host with
                {
                    Devices =
                    [
                        .. host.Devices.Select((device, place) => device with
                        {
                            Resources =
                            [
                                device.Resources[0] with
                                {
                                    StartAddress = 0x40_0000_0000UL + ((ulong)place * 256 * 1024),
                                },
                            ],
                        }),
                    ],
                }),
            ],
        };
    }

    /// <summary>Devices of all five drivers, with holders that use what they hold again and again.</summary>
    public static SimulationPlan Mixed(string profile, ulong seed, params FaultPlan[] faults)
    {
        var plan = Of(profile, seed, resources: 1, resourceBytes: 1 << 20, faults);
        string[] drivers =
        [
            DriverNames.P2pdma, DriverNames.Dax, DriverNames.PmemFsdax, DriverNames.PmemRaw, DriverNames.Hmm,
        ];
        return plan with
        {
            Hosts =
            [
                .. plan.Hosts.Select(host => host with
                {
                    Devices =
                    [
                        .. Enumerable.Range(0, 5).Select(place => new DevicePlan(
                            drivers[place] switch
                            {
                                DriverNames.P2pdma => $"{host.Name}/0000:01:00.0",
                                DriverNames.Hmm => $"{host.Name}/hmm:{place}",
                                _ => $"{host.Name}/nd:region{place}",
                            },
                            drivers[place],
                            [new PciBar(0, true, 0x40_0000_0000UL + ((ulong)place << 27), 1 << 20)])),
                    ],
                }),
            ],
            Load = plan.Load with
            {
                AllocWeight = 30,
                AccessWeight = 60,
                FreeWeight = 10,
                DeviceWeights = [.. Enumerable.Repeat(1.0, 10)],
                Hold = new(HoldKind.Exponential, TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(2)),
            },
        };
    }
}
