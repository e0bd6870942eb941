using System.Globalization;

namespace Fleet.LoadTests.Scaling;

/// <summary>One size of an axis.</summary>
/// <param name="BoundSeconds">Wall time after which measuring it is given up.</param>
/// <param name="Needs">What a quiet machine of two cores needs, in words.</param>
internal sealed record AxisPoint(int Size, int BoundSeconds, string Needs);

/// <summary>One direction in which a fleet grows, with the sizes that are measured.</summary>
/// <param name="Name">Of the benchmark, the points' file and the figure.</param>
/// <param name="What">What there is more of, in the plural.</param>
/// <param name="Quick">Sizes of a quick form.</param>
internal sealed record Axis(string Name, string What, IReadOnlyList<AxisPoint> Points, IReadOnlyList<int> Quick)
{
    /// <summary>Name of the benchmark of one point: <c>scaling-devices-100k</c>.</summary>
    public string NameOf(AxisPoint point) => $"{Name}-{Short(point.Size)}";

    private static string Short(int size) => string.Create(
        CultureInfo.InvariantCulture,
        $"{(size % 1_000_000 == 0 ? size / 1_000_000 : size % 1000 == 0 ? size / 1000 : size)}"
        + $"{(size % 1_000_000 == 0 ? "m" : size % 1000 == 0 ? "k" : "")}");
}
