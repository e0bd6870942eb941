using Fleet.Kernel.P2pdma;
using Fleet.Protocol.Plans;
using Fleet.Simulation.Cluster;

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
}
