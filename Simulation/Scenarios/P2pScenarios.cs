using System.Runtime.CompilerServices;
using Fleet.Kernel.Drivers;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Exploration;

namespace Fleet.Simulation.Scenarios;

/// <summary>The worlds around peer-to-peer memory and the primitives below it.</summary>
/// <remarks>Source: scenarios.md section 4; required sightings section 5.</remarks>
internal static class P2pScenarios
{
    private const ulong Page = DevPagemap.PageBytes;
    private const int A1 = 0;
    private const int Y = 1;
    private const int Z = 2;

    internal static IEnumerable<Scenario> All =>
    [
        new()
        {
            Id = "S1", Title = "one resource, no holder, unbind", Layout = Layout.L1,
            Prologue = Bind,
            Actors = [new("A", Unbind)],
        },
        new()
        {
            Id = "S2", Title = "live allocation used while unbind runs", Layout = Layout.L1,
            Prologue = async host =>
            {
                await Bind(host);
                await host.World.Parts.Alloc(host, A1, Page);
            },
            Actors =
            [
                new("A", Unbind),
                new("B", AccessAndFreeInWindow),
            ],
            Sightings = WindowSightings,
        },
        new()
        {
            Id = "S3", Title = "pinned page put while unbind runs", Layout = Layout.L1,
            Prologue = BindAndPin,
            Actors = [new("A", Unbind), new("B", UnpinInWindow)],
            Sightings = WindowSightings,
        },
        new()
        {
            Id = "S4", Title = "pool-add fails on the only resource, then unbind", Layout = Layout.L1,
            Injections = [(FailPoint.AddResourcePoolAdd, 1)],
            Actors = [new("A", BindThenUnbind)],
            Sightings = InjectionSightings,
        },
        new()
        {
            Id = "S5", Title = "pool-add fails on the second resource", Layout = Layout.L2,
            Injections = [(FailPoint.AddResourcePoolAdd, 2)],
            Actors = [new("A", BindAllocFreeUnbind)],
            Sightings = InjectionSightings,
        },
        new()
        {
            Id = "S6", Title = "memremap of the second resource fails after the kill", Layout = Layout.L2,
            Injections = [(FailPoint.MemremapMemoryAdd, 2)],
            Actors = [new("A", BindAllocFreeUnbind)],
            Sightings = InjectionSightings,
        },
        new()
        {
            Id = "S6c", Title = "memremap of the second resource meets a section conflict", Layout = Layout.L2c,
            Actors = [new("A", BindAllocFreeUnbind)],
        },
        new()
        {
            Id = "S7", Title = "two resources, no holder, unbind", Layout = Layout.L2,
            Prologue = Bind,
            Actors = [new("A", Unbind)],
        },
        new()
        {
            Id = "S8", Title = "two resources, holder on the older, a second client allocates during unbind",
            Layout = Layout.L2,
            Prologue = async host =>
            {
                var parts = host.World.Parts;
                await Bind(host);
                await parts.Alloc(host, A1, Page);
                await parts.Alloc(host, Y, Page);
                await parts.Free(host, A1);
            },
            Actors =
            [
                new("A", Unbind),
                new("B1", AccessAndFreeOnceLetIn),
                new("B2", AllocFreeAndLetIn),
            ],
            Sightings =
            [
                new(
                    "alloc takes chunk 2 after its mapping's removal", "ALL",
                    world => world.Judge.Broken.Has(Kernel.Judging.KernelRule.OwnerAlive)
                        && world.Parts.Map(1).WasRemoved),
            ],
        },
        new()
        {
            Id = "S9", Title = "an alloc races with pci_p2pdma_release", Layout = Layout.L1,
            Prologue = Bind,
            Actors = [new("A", Unbind), new("B", host => host.World.Parts.Alloc(host, A1, 2 * Page))],
            Sightings = [NullBetweenReads],
        },
        new()
        {
            Id = "S10", Title = "a sysfs read races with the release", Layout = Layout.L1,
            Prologue = Bind,
            Actors = [new("A", Unbind), new("B", host => host.World.Parts.Show(host))],
            Sightings =
            [
                new(
                    "the group is still there with the field NULL", "ALL",
                    world => world.Judge.Broken.Has(Kernel.Judging.KernelRule.NoNullDeref)),
            ],
        },
        new()
        {
            Id = "S11", Title = "a holder never frees", Layout = Layout.L1,
            Prologue = async host =>
            {
                await Bind(host);
                await host.World.Parts.Alloc(host, A1, Page);
            },
            Actors = [new("A", Unbind)],
        },
        new()
        {
            Id = "S19", Title = "double kill on a plain ref", Layout = Layout.L1,
            Prologue = async host =>
            {
                await RefProcedures.Init(host, host.World.Parts.PlainRef, FailPoint.None);
                await RefProcedures.Get(host, host.World.Parts.PlainRef, 1);
            },
            Actors =
            [
                new("A", [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))] async ValueTask (ExploreHost host) =>
                {
                    await RefProcedures.Kill(host, host.World.Parts.PlainRef);
                    await RefProcedures.Kill(host, host.World.Parts.PlainRef);
                }),
                new("B", host => RefProcedures.Put(host, host.World.Parts.PlainRef, 1)),
            ],
        },
        new()
        {
            Id = "S20", Title = "devm_release_action of an action that was never registered", Layout = Layout.L1,
            Needs = KernelSwitch.HasReleaseAction,
            Prologue = async host => await DriverCore.BindP2p(host, host.World.Device, host.World.Parts, []),
            Actors =
            [
                new("A", [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))] async ValueTask (ExploreHost host) =>
                {
                    var world = host.World;
                    await DriverCore.ReleaseAction(
                        host, world.Device, DevresFn.MemremapRelease, world.Parts.Map(0));
                    await Unbind(host);
                }),
            ],
            WarningsRequired = 1,
        },
        new()
        {
            Id = "S24", Title = "setup fails at the sysfs step while a client allocates", Layout = Layout.L1,
            Injections = [(FailPoint.SetupSysfsGroup, 1)],
            Actors =
            [
                new("A", BindThenUnbind),
                new("B", host => host.World.Parts.Alloc(host, A1, Page)),
            ],
            Sightings =
            [
                .. InjectionSightings,
                new("the field is seen non-NULL by B", "ALL", world =>
                    world.Judge.Broken.Has(Kernel.Judging.KernelRule.NoNullDeref)),
            ],
        },
        new()
        {
            Id = "S25", Title = "retry after a failed pool-add", Layout = Layout.L1Twice,
            Injections = [(FailPoint.AddResourcePoolAdd, 1)],
            Actors =
            [
                new("A", [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))] async ValueTask (ExploreHost host) =>
                {
                    var parts = host.World.Parts;
                    await Bind(host);
                    await parts.Alloc(host, A1, Page, expectsRoom: true);
                    await parts.Free(host, A1);
                    await parts.PinNewestPage(host);
                    await parts.Order.Open(host);
                    await Unbind(host);
                }),
                new("B", [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))] async ValueTask (ExploreHost host) =>
                {
                    await host.World.Parts.Order.Pass(host);
                    await host.World.Parts.UnpinPage(host);
                }),
            ],
            Sightings =
            [
                .. InjectionSightings,
                new("get_many from 0", "P3", world => world.Judge.Broken.Has(Kernel.Judging.KernelRule.NoGetFromZero)),
            ],
        },
        new()
        {
            Id = "S26", Title = "the first resource meets a section conflict, then unbind", Layout = Layout.LN,
            Actors = [new("A", BindThenUnbind)],
        },
        new()
        {
            Id = "S27", Title = "an alloc that fits races with the whole unbind of one resource", Layout = Layout.L1,
            Prologue = Bind,
            Actors =
            [
                new("A", Unbind),
                new("B", AllocAndFree),
            ],
            Sightings = [NullBetweenReads],
        },
    ];

    /// <summary>The worlds around user mappings of peer-to-peer memory.</summary>
    internal static IEnumerable<Scenario> Mapped =>
    [
        new()
        {
            Id = "S22", Title = "mmap whose page insert fails, then unbind", Layout = Layout.L1,
            Needs = KernelSwitch.SysfsMmap,
            Prologue = Bind,
            Injections = [(FailPoint.PageInsert, 1)],
            Actors =
            [
                new("A", [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))] async ValueTask (ExploreHost host) =>
                {
                    await host.World.Parts.Mmap(host);
                    await Unbind(host);
                }),
            ],
            Sightings = [InjectionHit("L62")],
        },
        new()
        {
            Id = "S23", Title = "mmap whose page insert fails, then a second mmap", Layout = Layout.L1,
            Needs = KernelSwitch.SysfsMmap,
            IdleCount = 0,
            Prologue = Bind,
            Injections = [(FailPoint.PageInsert, 1)],
            Actors =
            [
                new("A", [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))] async ValueTask (ExploreHost host) =>
                {
                    var parts = host.World.Parts;
                    await parts.Mmap(host);
                    await parts.Mmap(host);
                    await parts.Munmap(host);
                    await Unbind(host);
                }),
            ],
            Sightings = [InjectionHit("L62")],
        },
        new()
        {
            Id = "S30", Title = "sysfs mmap holder across unbind", Layout = Layout.L1,
            Needs = KernelSwitch.SysfsMmap,
            Prologue = async host =>
            {
                await Bind(host);
                await host.World.Parts.Mmap(host);
            },
            Actors =
            [
                new("A", Unbind),
                new("B", [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))] async ValueTask (ExploreHost host) =>
                {
                    await host.World.Parts.AccessMapping(host);
                    await host.World.Parts.Munmap(host);
                }),
            ],
        },
    ];

    internal static Sighting InjectionHit(string profile) =>
        new("the injected failure is hit", profile, world => world.InjectionsHit > 0);

    internal static IReadOnlyList<Sighting> WindowSightings { get; } =
    [
        new("B's last step after the kill and before the end of the wait", "ALL", world => world.Parts.HasMark(0)),
        new(
            "B's step after the removal", "P0",
            world => world.Judge.Broken.Has(Kernel.Judging.KernelRule.NoUseAfterRemove)),
    ];

    internal static IReadOnlyList<Sighting> InjectionSightings { get; } =
        [InjectionHit("ALL")];

    private static Sighting NullBetweenReads { get; } = new(
        "the field is cleared between two reads of one alloc", "ALL",
        world => world.Judge.Broken.Has(Kernel.Judging.KernelRule.NoNullDeref));

    internal static ValueTask Bind(ExploreHost host) => host.World.Parts.Bind(host);

    internal static ValueTask Unbind(ExploreHost host) => host.World.Parts.Unbind(host);

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask BindAndPin(ExploreHost host)
    {
        await Bind(host);
        await host.World.Parts.PinPage(host, 0);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask UnpinInWindow(ExploreHost host)
    {
        await host.World.Parts.UnpinPage(host);
        MarkWindow(host);
    }

    internal static void MarkWindow(ExploreHost host)
    {
        if (host.World.Judge is { Kills: > 0, WaitsEnded: 0 })
        {
            host.World.Parts.Mark(0);
        }
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask BindThenUnbind(ExploreHost host)
    {
        await Bind(host);
        await Unbind(host);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask BindAllocFreeUnbind(ExploreHost host)
    {
        var parts = host.World.Parts;
        await Bind(host);
        await parts.Alloc(host, A1, Page, expectsRoom: true);
        await parts.Free(host, A1);
        await Unbind(host);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask AccessAndFreeInWindow(ExploreHost host)
    {
        await host.World.Parts.Access(host, A1);
        await host.World.Parts.Free(host, A1);
        MarkWindow(host);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask AccessAndFreeOnceLetIn(ExploreHost host)
    {
        var parts = host.World.Parts;
        if (parts.Held(Y) is null)
        {
            return;
        }

        await parts.Order.Pass(host);
        await parts.Access(host, Y);
        await parts.Free(host, Y);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask AllocFreeAndLetIn(ExploreHost host)
    {
        var parts = host.World.Parts;
        await parts.Alloc(host, Z, Page);
        if (parts.Map(1).WasRemoved)
        {
            parts.Mark(0);
        }

        await parts.Free(host, Z);
        await parts.Order.Open(host);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask AllocAndFree(ExploreHost host)
    {
        await host.World.Parts.Alloc(host, A1, Page);
        await host.World.Parts.Free(host, A1);
    }
}
