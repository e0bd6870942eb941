using System.Runtime.CompilerServices;
using Fleet.Kernel.Host;

namespace Fleet.Kernel.P2pdma;

/// <summary>What a configuration attribute of a driver says about peer-to-peer memory.</summary>
/// <param name="Device">The provider that was named, with one reference; null for any or none.</param>
/// <param name="IsUsed">Peer-to-peer memory is to be used.</param>
/// <param name="Err"><see cref="Errno.ENODEV"/> when the text is neither a provider nor a yes or no.</param>
public readonly record struct P2pEnableResult(PciDevice? Device, bool IsUsed, Errno Err);

/// <summary>pci_p2pdma_enable_store and _show: a device name, or a yes or no, in a configuration attribute.</summary>
/// <remarks>
/// "0" and "1" count only alone, so that the name of a device that is not there is no number.
/// Source: drivers/pci/p2pdma.c @ v5.1; kernel-model B.8.
/// </remarks>
public static class P2pdmaEnable
{
    /// <summary>Reads what was written to the attribute.</summary>
    /// <param name="text">As written, a trailing newline included if there was one.</param>
    /// <param name="find">Finds a PCI device by its whole name.</param>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder<>))]
    public static async ValueTask<P2pEnableResult> Store<THost>(THost host, string text, Func<string, PciDevice?> find)
        where THost : struct, IKernelHost<THost>
    {
        if (find(text.TrimEnd('\n')) is { } device)
        {
            if (!await P2pdmaClient.HasP2pMem(host, device))
            {
                return new(null, true, Errno.ENODEV);
            }

            device.References++;
            return new(device, true, Errno.OK);
        }

        return YesOrNo(text) is { } isUsed ? new(null, isUsed, Errno.OK) : new(null, false, Errno.ENODEV);
    }

    /// <summary>Returns what a read of the attribute prints.</summary>
    /// <param name="nameOf">Name of a PCI device.</param>
    public static string Show(in P2pEnableResult setting, Func<PciDevice, string> nameOf) =>
        !setting.IsUsed ? "0\n" : setting.Device is null ? "1\n" : $"{nameOf(setting.Device)}\n";

    private static bool? YesOrNo(string text)
    {
        if (text.Length == 0)
        {
            return null;
        }

        var isAlone = text.Length == 1 || char.IsControl(text[1]);
        return (text[0], text.Length > 1 ? text[1] : '\0') switch
        {
            ('1', _) => isAlone ? true : null,
            ('0', _) => isAlone ? false : null,
            ('y' or 'Y', _) => true,
            ('n' or 'N', _) => false,
            ('o' or 'O', 'n' or 'N') => true,
            ('o' or 'O', 'f' or 'F') => false,
            _ => null,
        };
    }
}
