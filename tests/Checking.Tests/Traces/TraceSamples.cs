using System.IO.Compression;
using System.Text;
using Fleet.Checking.Traces;

namespace Fleet.Checking.Tests.Traces;

/// <summary>Excerpts of real recordings that are committed.</summary>
internal static class TraceSamples
{
    /// <summary>One p2pdma device, one mapped page, an unbind that revokes the mapping (6.12).</summary>
    public static List<string> MmapHeld() => Lines("mmap-held.trace");

    /// <summary>A device-dax page map removed while pages are pinned (6.12): a real violation.</summary>
    public static List<string> DevdaxPinned() => Lines("devdax-pinned.trace");

    public static TraceReport Judge(IEnumerable<string> lines, string profile = KernelTrace.DefaultProfile)
    {
        using var stream = new MemoryStream(Encoding.UTF8.GetBytes(string.Join('\n', lines) + "\n"));
        return KernelTrace.Check(stream, profile);
    }

    public static TraceReport JudgeFile(string path)
    {
        using var stream = File.OpenRead(path);
        return KernelTrace.Check(stream);
    }

    public static byte[] Zipped(string text)
    {
        using var zipped = new MemoryStream();
        using (var gzip = new GZipStream(zipped, CompressionLevel.Fastest))
        {
            gzip.Write(Encoding.UTF8.GetBytes(text));
        }

        return zipped.ToArray();
    }

    /// <summary>Index of the only line, or the first, that holds a text.</summary>
    public static int At(this List<string> lines, string text) => lines.FindIndex(
        line => line.Contains(text, StringComparison.Ordinal));

    /// <summary>A record like those of the excerpts.</summary>
    public static string Record(string task, string flags, string time, string record) =>
        $"{task,20}     [000] {flags}    {time}: {record}";

    private static List<string> Lines(string name)
    {
        var assembly = typeof(TraceSamples).Assembly;
        using var stream = assembly.GetManifestResourceStream($"traces.{name}")!;
        using var reader = new StreamReader(stream);
        return [.. reader.ReadToEnd().TrimEnd('\n').Split('\n')];
    }
}
