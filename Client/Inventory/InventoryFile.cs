using System.Collections.Immutable;
using System.Text;

namespace Fleet.Client.Inventory;

/// <summary>Opens an inventory by its path, whatever kind it is.</summary>
public static class InventoryFile
{
    /// <summary>The word that means this machine's own sysfs.</summary>
    public const string Scan = "scan";

    /// <param name="path">A text of <c>lspci -vv</c>, a sysfs tree, or <see cref="Scan"/>.</param>
    /// <exception cref="UsageException">It is none of these, or it is malformed.</exception>
    public static ImmutableArray<HostInventory> Read(string path)
    {
        var hostName = HostInventory.NameOf(1);
        if (path == Scan)
            return [SysfsTree.Read(SysfsTree.ThisMachine, hostName)];

        if (Directory.Exists(path))
            return [SysfsTree.Read(path, hostName)];

        return LspciText.Parse(ReadText(path), path, hostName);
    }

    /// <summary>Makes many hosts of an inventory that describes one.</summary>
    /// <exception cref="UsageException">It describes several.</exception>
    public static ImmutableArray<HostInventory> Replicate(
        ImmutableArray<HostInventory> hosts, int replicate, string source) =>
        replicate == 1 ? hosts
        : hosts.Length == 1 ? hosts[0].Replicate(replicate)
        : throw new UsageException(
            $"{source} describes {hosts.Length} hosts, and only one can be replicated; "
            + "accepted: an inventory of one host.");

    private static string ReadText(string path)
    {
        const string accepted = "the text of lspci -vv, a sysfs tree, or 'scan' for this machine";
        try
        {
            var info = new FileInfo(path);
            if (!info.Exists)
                throw new UsageException($"There is no inventory {ForeignText.Quote(path)}; accepted: {accepted}.");

            if (info.Length > LspciText.BytesMax)
                throw new UsageException(
                    $"{path} is larger than {LspciText.BytesMax >> 20} MiB; accepted: {accepted}.");

            var text = File.ReadAllText(path, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
            return text.Contains('\0')
                ? throw new UsageException($"{path} is not a text (it holds a zero byte); accepted: {accepted}.")
                : text;
        }
        catch (Exception e) when (
            e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new UsageException(
                $"{ForeignText.Quote(path)} cannot be read ({ForeignText.Clean(e.Message)}); accepted: {accepted}.", e);
        }
    }
}
