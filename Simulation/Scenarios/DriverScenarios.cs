using System.Runtime.CompilerServices;
using Fleet.Kernel.Host;
using Fleet.Kernel.Judging;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Exploration;
using static Fleet.Simulation.Scenarios.P2pScenarios;

namespace Fleet.Simulation.Scenarios;

/// <summary>The worlds around device-dax, pmem and HMM.</summary>
/// <remarks>Source: scenarios.md section 4; required sightings section 5.</remarks>
internal static class DriverScenarios
{
    internal static IEnumerable<Scenario> All =>
    [
        new()
        {
            Id = "S12", Title = "device-dax: memremap fails after the kill", Layout = Layout.L1,
            Driver = WorldDriver.DeviceDax,
            Injections = [(FailPoint.MemremapMemoryAdd, 1)],
            Actors = [new("A", Bind)],
            Sightings = InjectionSightings,
        },
        new()
        {
            Id = "S13", Title = "HMM: no free range, probe fails", Layout = Layout.L1,
            Driver = WorldDriver.HmmAdd,
            Excludes = KernelSwitch.SingleFieldRead,
            Actors = [new("A", Bind)],
        },
        new()
        {
            Id = "S14", Title = "HMM: section conflict, probe fails", Layout = Layout.LN,
            Driver = WorldDriver.HmmAddResource,
            Excludes = KernelSwitch.SingleFieldRead,
            Actors = [new("A", Bind)],
        },
        new()
        {
            Id = "S15", Title = "fsdax page pinned across unbind", Layout = Layout.L1,
            Driver = WorldDriver.PmemFsdax,
            Prologue = BindAndPin,
            Actors = [new("A", Unbind), new("B", UnpinInWindow)],
            Sightings = WindowSightings,
        },
        new()
        {
            Id = "S16", Title = "raw pmem, a bio in flight across unbind", Layout = Layout.L1,
            Driver = WorldDriver.PmemRaw,
            Prologue = async host =>
            {
                await Bind(host);
                await host.World.Parts.OpenAndEnter(host);
            },
            Actors =
            [
                new("A", Unbind),
                new("B", host => host.World.Parts.AccessExitAndClose(host)),
            ],
            Sightings =
            [
                new("io_access after memunmap", "ALL", world => world.Judge.Broken.Has(KernelRule.NoUseAfterRemove)),
            ],
        },
        new()
        {
            Id = "S17", Title = "fsdax set-up fails between queue allocation and memremap", Layout = Layout.L1,
            Driver = WorldDriver.PmemFsdax,
            Injections = [(FailPoint.PmemSetupFsdax, 1)],
            Actors = [new("A", Bind)],
            Sightings = InjectionSightings,
        },
        new()
        {
            Id = "S18", Title = "fsdax: get_dev_pagemap races with the release", Layout = Layout.L1,
            Driver = WorldDriver.PmemFsdax,
            Prologue = Bind,
            Actors = [new("A", Unbind), new("B", LookupAndPut)],
            Sightings = [LookupAfterExit],
        },
        new()
        {
            Id = "S21", Title = "fsdax, no holder, unbind", Layout = Layout.L1,
            Driver = WorldDriver.PmemFsdax,
            Prologue = Bind,
            Actors = [new("A", Unbind)],
        },
        new()
        {
            Id = "S28", Title = "device-dax: get_dev_pagemap races with the release", Layout = Layout.L1,
            Driver = WorldDriver.DeviceDax,
            Prologue = Bind,
            Actors = [new("A", Unbind), new("B", LookupAndPut)],
            Sightings = [LookupAfterExit],
        },
        new()
        {
            Id = "S29", Title = "device-dax page pinned across unbind", Layout = Layout.L1,
            Driver = WorldDriver.DeviceDax,
            Prologue = BindAndPin,
            Actors = [new("A", Unbind), new("B", UnpinInWindow)],
            Sightings = WindowSightings,
        },
    ];

    private static Sighting LookupAfterExit { get; } = new(
        "a lookup between exit and erase", "ALL", world => world.Judge.Broken.Has(KernelRule.LookupSafe));

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask LookupAndPut(ExploreHost host)
    {
        await host.World.Parts.Lookup(host);
        await host.World.Parts.PutFound(host);
    }
}
