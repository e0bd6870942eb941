using Fleet.Kernel.Host;

namespace Fleet.Protocol.Maps;

/// <summary>The memory that a page map lies in, seen from the page map's own side: the device's matter.</summary>
internal sealed class NoContainer() : KernelObject(KernelObjectKind.Pgmap)
{
    public static readonly NoContainer Instance = new();
}
