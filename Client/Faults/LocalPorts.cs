using System.Globalization;

namespace Fleet.Client.Faults;

/// <summary>Tells which of our processes a local TCP port belongs to.</summary>
/// <remarks>Source: proc(5), <c>/proc/net/tcp</c> and <c>/proc/PID/fd</c>; a process may look at its own children.
/// </remarks>
internal static class LocalPorts
{
    private const int AddressColumn = 1;
    private const int InodeColumn = 9;

    /// <param name="candidates">Process ids that it may belong to.</param>
    /// <returns>0 when it belongs to none of them.</returns>
    public static int ProcessOf(int port, IEnumerable<int> candidates)
    {
        var shown = string.Create(CultureInfo.InvariantCulture, $":{port:X4}");
        var inodes = new[] { "/proc/net/tcp", "/proc/net/tcp6" }.Where(File.Exists)
            .SelectMany(File.ReadLines).Skip(1)
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Where(columns => columns.Length > InodeColumn
                && columns[AddressColumn].EndsWith(shown, StringComparison.Ordinal))
            .Select(columns => $"socket:[{columns[InodeColumn]}]").ToHashSet(StringComparer.Ordinal);
        return candidates.FirstOrDefault(pid => Sockets(pid).Any(inodes.Contains));
    }

    private static IEnumerable<string> Sockets(int pid)
    {
        try
        {
            return [.. new DirectoryInfo($"/proc/{pid}/fd").EnumerateFiles().Select(file => file.LinkTarget ?? "")];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return []; // It ended meanwhile.
        }
    }
}
