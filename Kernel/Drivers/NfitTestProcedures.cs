using System.Runtime.CompilerServices;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.Drivers;

/// <summary>The wrapper that the nvdimm unit tests put around devm_memremap_pages.</summary>
/// <remarks>
/// A fake range gets no pages, no sections and no map entry, so the tests never exercise the wait for pages.
/// Source: tools/testing/nvdimm/test/iomap.c before and after patch 6; kernel-model B.9.
/// </remarks>
public static class NfitTestProcedures
{
    /// <summary>Maps a range: really, or for a fake resource of the tests only by registering its kill.</summary>
    public static ValueTask<Errno> Memremap<THost>(THost host, PciDevice device, DevPagemap map)
        where THost : struct, IKernelHost<THost> =>
        map.IsFakeNfit ? Fake(host, device, map) : MemremapProcedures.Memremap(host, device, map);

    /// <summary>nfit_test_kill: kills; from patch 6 on also waits and exits, as nobody else would.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public static async ValueTask Kill<THost>(THost host, DevPagemap map)
        where THost : struct, IKernelHost<THost>
    {
        var cleansUp = host.Profile.Has(KernelSwitch.TestWrapperCleansUp);
        var isMissing = map.Ref is null || !map.HasKillCallback || (cleansUp && !map.HasCleanupCallback);
        if (cleansUp && isMissing)
        {
            host.Emit(new KernelEvent(EventKind.Warn, null, map) { Text = "missing-callbacks", Fn = "nfit_test_kill" });
        }

        await P2pdmaProcedures.Live(host, map.Container, "nfit_test_kill calls the kill callback of a freed pgmap");
        if (isMissing)
        {
            await host.Die(OopsKind.NullDereference, null, "nfit_test_kill calls a callback that is missing");
        }

        await MemremapProcedures.KillCallback(host, map);
        if (cleansUp)
        {
            await MemremapProcedures.WaitCallback(host, map);
            await MemremapProcedures.ExitCallback(host, map);
        }
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<Errno> Fake<THost>(THost host, PciDevice device, DevPagemap map)
        where THost : struct, IKernelHost<THost>
    {
        map.KillCalls = 0;
        map.CleanupCalls = 0;
        return await DriverActions.AddOrReset(
            host, device, DevresFn.NfitTestKill, map, FailPoint.TestWrapperDevresNode);
    }
}
