using System.Globalization;

namespace Fleet.LoadTests.Scaling;

/// <summary>What a process and everything that it started used so far.</summary>
/// <param name="CpuSeconds">Of those that live, and of their children that are gone.</param>
/// <param name="PrivateBytes">Resident memory that is theirs alone: no mapped files, no shared buffers.</param>
internal readonly record struct ProcessUse(double CpuSeconds, long PrivateBytes)
{
    public static ProcessUse operator +(ProcessUse left, ProcessUse right) =>
        new(left.CpuSeconds + right.CpuSeconds, left.PrivateBytes + right.PrivateBytes);
}

/// <summary>Reads processor time and memory of foreign processes.</summary>
/// <remarks>Source: proc(5), stat and status; Linux only.</remarks>
internal static class ProcessTree
{
    /// <summary>Clock ticks of a second, which Linux fixes for what it shows.</summary>
    private const double TicksPerSecond = 100;

    /// <summary>Reads a process and its descendants; what is gone in the meantime counts as nothing.</summary>
    /// <param name="counts">Which of them, by command line.</param>
    public static ProcessUse Read(int root, Func<string, bool> counts)
    {
        var parents = new Dictionary<int, int>();
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(folder), CultureInfo.InvariantCulture, out var pid)
                && FieldsOf(pid) is { } fields)
            {
                parents[pid] = int.Parse(fields[1], CultureInfo.InvariantCulture);
            }
        }

        return parents.Keys.Where(pid => IsBelow(pid, root, parents) && counts(CommandOf(pid)))
            .Aggregate(default(ProcessUse), (sum, pid) => sum + UseOf(pid));
    }

    private static bool IsBelow(int pid, int root, Dictionary<int, int> parents)
    {
        for (var at = pid; at > 1; at = parents.GetValueOrDefault(at))
        {
            if (at == root)
            {
                return true;
            }
        }

        return false;
    }

    private static ProcessUse UseOf(int pid)
    {
        const int UserTime = 11;
        var ticks = FieldsOf(pid) is { } fields
            ? fields[UserTime..(UserTime + 4)].Sum(field => double.Parse(field, CultureInfo.InvariantCulture))
            : 0;
        return new(ticks / TicksPerSecond, PrivateBytesOf(pid));
    }

    private static long PrivateBytesOf(int pid)
    {
        const string Key = "RssAnon:";
        var line = Read($"/proc/{pid}/status").Split('\n')
            .FirstOrDefault(one => one.StartsWith(Key, StringComparison.Ordinal));
        return line is null
            ? 0
            : long.Parse(line[Key.Length..].Trim().Split(' ')[0], CultureInfo.InvariantCulture) << 10;
    }

    private static string CommandOf(int pid) => Read($"/proc/{pid}/cmdline").Replace('\0', ' ');

    /// <summary>The fields after the name of the program, which may hold anything: state, parent, …</summary>
    private static string[]? FieldsOf(int pid)
    {
        var text = Read($"/proc/{pid}/stat");
        return text.Length == 0 ? null : text[(text.LastIndexOf(')') + 2)..].Split(' ');
    }

    private static string Read(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return ""; // The process ended meanwhile.
        }
    }
}
