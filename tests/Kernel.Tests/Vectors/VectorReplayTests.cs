using Fleet.Kernel.Vectors;

namespace Fleet.Kernel.Tests.Vectors;

[Trait("tier", "fast")]
public sealed class VectorReplayTests
{
    // Goal: the primitives behave as the compiled kernel code did, bit for bit.
    // Method: every recording is replayed, misuse, blocking, raw and quirk files included; none may be skipped.
    [Fact]
    public void Every_recorded_vector_agrees()
    {
        if (VectorFolder.Find() is not { } folder)
        {
            return;
        }

        var files = folder.GetFiles("*.jsonl", SearchOption.AllDirectories);
        var bad = files
            .Select(file => VectorReplay.Replay(File.ReadLines(file.FullName)))
            .Where(result => result.Verdict is not VectorVerdict.Agrees)
            .Select(result => result.ToString())
            .Order(StringComparer.Ordinal)
            .ToList();
        Assert.True(bad.Count == 0, $"{bad.Count} of {files.Length} recordings:\n{string.Join('\n', bad)}");
    }
}
