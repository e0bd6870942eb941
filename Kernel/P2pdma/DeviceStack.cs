using System.Runtime.CompilerServices;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;

namespace Fleet.Kernel.P2pdma;

/// <summary>A device's devres list as the procedures use it: every change is an event.</summary>
/// <remarks>
/// Touched under the device lock only, so it has no points of its own. Source: kernel-model B.1, H.2.
/// </remarks>
internal static class DeviceStack
{
    internal static void Push<THost>(THost host, PciDevice device, DevresFn fn, KernelObject data)
        where THost : struct, IKernelHost<THost>
    {
        var node = device.Devres.AddAction((int)fn, data).Node!;
        host.Emit(Node(EventKind.DevresAdd, node));
    }

    /// <summary>Managed memory that holds <paramref name="data"/>: freed at its own place in the order.</summary>
    internal static void PushMemory<THost>(THost host, PciDevice device, KernelObject data)
        where THost : struct, IKernelHost<THost>
    {
        data.IsFreed = false;
        host.Emit(new KernelEvent(EventKind.ObjAlloc, null, data));
        var node = device.Devres.Kmalloc(data).Node!;
        host.Emit(Node(EventKind.DevresAdd, node));
    }

    /// <summary>Takes the newest matching action off the list; a missing one is a warning.</summary>
    /// <param name="how">What its disappearance is called: run or removed.</param>
    internal static bool Take<THost>(THost host, PciDevice device, DevresFn fn, KernelObject data, EventKind how)
        where THost : struct, IKernelHost<THost>
    {
        var taken = device.Devres.ReleaseAction((int)fn, data);
        if (taken.Node is null)
        {
            host.Emit(
                new KernelEvent(EventKind.Warn, null, data) { Text = "no-such-action", Fn = DevresFns.WireName(fn) });
            return false;
        }

        host.Emit(Node(how, taken.Node));
        return true;
    }

    /// <summary>devm_kfree: the memory goes now, its node with it.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal static async ValueTask FreeMemory<THost>(THost host, PciDevice device, KernelObject data)
        where THost : struct, IKernelHost<THost>
    {
        var taken = device.Devres.Kfree(data);
        await host.Point(Step.FreeObject, 0, data.Mask);
        if (taken.Node is { } node)
        {
            host.Emit(Node(EventKind.DevresFree, node));
        }

        Free(host, data);
    }

    internal static void Free<THost>(THost host, KernelObject data)
        where THost : struct, IKernelHost<THost>
    {
        host.Emit(new KernelEvent(EventKind.ObjFree, null, data));
        data.IsFreed = true;
    }

    internal static KernelEvent Node(EventKind kind, DevresNode node) => new(kind, null, node.Data as KernelObject)
    {
        Node = node.Id,
        Text = node.Kind is DevresKind.Kmalloc ? "kmalloc" : "action",
        Fn = DevresFns.WireName((DevresFn)node.Fn),
    };
}
