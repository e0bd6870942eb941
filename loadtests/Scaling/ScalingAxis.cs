using System.Text.Json;

namespace Fleet.LoadTests.Scaling;

/// <summary>One axis as a file: a point measured again takes the old one's place, sizes may be added at any
/// time.</summary>
/// <param name="Commit">What was measured; points of one figure may come from several.</param>
internal sealed record ScalingAxis<T>(string File, string Commit)
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private readonly List<Measured> _points = Read(File);

    /// <summary>All points so far, the smallest size first.</summary>
    public IReadOnlyList<Measured> Points => _points;

    /// <summary>Sizes without a point first, then the one measured longest ago: a round that was cut off goes on where
    /// it ended.</summary>
    public IEnumerable<int> InOrder(IEnumerable<int> sizes) => sizes.OrderBy(
        size => _points.FirstOrDefault(point => point.Size == size)?.MeasuredAt ?? DateTimeOffset.MinValue);

    public void Add(int size, T result)
    {
        _points.RemoveAll(point => point.Size == size);
        _points.Add(new(size, Commit, DateTimeOffset.UtcNow, result));
        _points.Sort((one, other) => one.Size.CompareTo(other.Size));
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(File))!);
        System.IO.File.WriteAllText(File + ".new", JsonSerializer.Serialize(new Content(_points), Indented));
        System.IO.File.Move(File + ".new", File, overwrite: true);
    }

    private static List<Measured> Read(string file) => System.IO.File.Exists(file)
        ? JsonSerializer.Deserialize<Content>(System.IO.File.ReadAllText(file))?.Points ?? []
        : [];

    internal sealed record Measured(int Size, string Commit, DateTimeOffset MeasuredAt, T Result);

    private sealed record Content(List<Measured>? Points);
}
