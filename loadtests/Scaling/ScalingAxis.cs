using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.Scaling;

/// <summary>What measuring a point took, with building, storing and judging.</summary>
/// <param name="CpuSeconds">Of everything that ran on the machine meanwhile.</param>
/// <param name="DiskBytes">Of the database, when all was stored and judged.</param>
internal sealed record PointCost(double WallSeconds, double CpuSeconds, long DiskBytes)
{
    public static PointCost Since(Look began, long diskBytes)
    {
        var now = Look.Now();
        return new(
            Stopwatch.GetElapsedTime(began.Timestamp, now.Timestamp).TotalSeconds,
            now.MachineCpuSeconds - began.MachineCpuSeconds, diskBytes);
    }

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"it took {WallSeconds:N0} s, {CpuSeconds:N0} CPU-s of the whole machine, {DiskBytes >> 20:N0} MiB of disk");
}

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

    public void Add(int size, T result, PointCost? cost = null)
    {
        _points.RemoveAll(point => point.Size == size);
        _points.Add(new(size, Commit, DateTimeOffset.UtcNow, result) { Cost = cost });
        _points.Sort((one, other) => one.Size.CompareTo(other.Size));
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(File))!);
        System.IO.File.WriteAllText(File + ".new", JsonSerializer.Serialize(new Content(_points), Indented));
        System.IO.File.Move(File + ".new", File, overwrite: true);
    }

    private static List<Measured> Read(string file)
    {
        try
        {
            return System.IO.File.Exists(file)
                ? JsonSerializer.Deserialize<Content>(System.IO.File.ReadAllText(file))?.Points ?? []
                : [];
        }
        catch (JsonException e)
        {
            throw new FormatException(
                $"'{file}' holds no points of an axis; accepted: a file that bench scaling-devices, -clients, -silos "
                + "or -history wrote.",
                e);
        }
    }

    internal sealed record Measured(int Size, string Commit, DateTimeOffset MeasuredAt, T Result)
    {
        /// <summary>Null of points that were measured before it was kept.</summary>
        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
        public PointCost? Cost { get; init; }
    }

    private sealed record Content(List<Measured>? Points);
}
