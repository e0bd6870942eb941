using System.Runtime.CompilerServices;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Profiles;

namespace Fleet.Kernel.P2pdma;

/// <summary>An attribute of the sysfs group "p2pmem".</summary>
public enum P2pAttribute : byte { Size, Available, Published }

/// <summary>What a read of an attribute gave.</summary>
/// <param name="Value">Bytes, or 0 and 1; printed as decimal with a newline.</param>
/// <param name="Err"><see cref="Errno.ENODEV"/> when the group was not there.</param>
public readonly record struct P2pShowResult(ulong Value, Errno Err);

/// <summary>Reads of the attributes: a running one keeps its group from being removed.</summary>
/// <remarks>
/// Three steps, five with a read section: open and read the field, read the pool, walk its chunks.
/// Source: the show functions of drivers/pci/p2pdma.c @ v5.2 and v5.14; kernel-model B.8, C.7 (R5), C.10, I (7).
/// </remarks>
public static class P2pdmaSysfs
{
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<P2pShowResult> Show<THost>(THost host, PciDevice device, P2pAttribute attribute)
        where THost : struct, IKernelHost<THost>
    {
        var usesRcu = host.Profile.Has(KernelSwitch.SysfsUsesRcu);
        await host.Point(Step.SysfsOpen, 0, device.Mask | (usesRcu ? host.RcuMask : 0));
        if (!device.Sysfs.Exists)
        {
            return new(0, Errno.ENODEV);
        }

        device.Sysfs.Readers++;
        host.Emit(new KernelEvent(EventKind.SysfsShowBegin) { Text = NameOf(attribute) });
        ulong value;
        if (usesRcu)
        {
            host.RcuEnter();
            await host.Point(Step.FieldTest, device.Mask, 0);
            var p2pdma = ReadField(host, device);
            value = p2pdma is null ? 0 : await Read(host, p2pdma, attribute, 0);
            await host.Point(Step.RcuExit, 0, device.Mask | host.RcuMask);
            host.RcuExit();
        }
        else
        {
            value = await Read(host, ReadField(host, device), attribute, device.Mask);
        }

        device.Sysfs.Readers--;
        host.Emit(new KernelEvent(EventKind.SysfsShowEnd) { Text = NameOf(attribute), Count = unchecked((long)value) });
        return new(value, Errno.OK);
    }

    private static PciP2pdma? ReadField<THost>(THost host, PciDevice device)
        where THost : struct, IKernelHost<THost>
    {
        host.Emit(new KernelEvent(EventKind.FieldRead, null, device.Field) { Fn = "sysfs" });
        return device.Field;
    }

    /// <param name="closing">What the last step writes because the read ends with it.</param>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    private static async ValueTask<ulong> Read<THost>(
        THost host, PciP2pdma? p2pdma, P2pAttribute attribute, ulong closing)
        where THost : struct, IKernelHost<THost>
    {
        await host.Point(Step.SysfsPool, p2pdma?.Mask ?? 0, attribute is P2pAttribute.Published ? closing : 0);
        await P2pdmaProcedures.Live(host, p2pdma, "a show function reads the pool through the p2pdma field");
        if (attribute is P2pAttribute.Published)
        {
            return p2pdma!.IsPublished ? 1UL : 0;
        }

        var pool = p2pdma!.Pool!;
        await host.Point(Step.SysfsWalk, pool.Mask, closing);
        await P2pdmaProcedures.Live(host, pool, "a show function walks the chunks");
        return attribute is P2pAttribute.Size ? pool.Pool.SizeBytes : pool.Pool.AvailBytes;
    }

    private static string NameOf(P2pAttribute attribute) => attribute switch
    {
        P2pAttribute.Size => "size",
        P2pAttribute.Available => "available",
        _ => "published",
    };
}
