namespace Fleet.Client.Load;

/// <summary>What a gauge does over the hours: the median of all slopes between two readings, with its
/// confidence.</summary>
/// <remarks>
/// A few spikes move a median of slopes little, and no shape of the noise is assumed. Readings that follow each other
/// resemble each other, so they are first gathered into blocks by their medians: the interval would be too narrow
/// otherwise. Source: Theil (1950), Sen (1968); interval from the variance of Kendall's S.
/// </remarks>
/// <param name="PerSecond">The middle estimate.</param>
/// <param name="Low">Lower end of the 95 % interval, per second.</param>
/// <param name="High">Upper end of it.</param>
public readonly record struct RobustSlope(double PerSecond, double Low, double High)
{
    private const int BlocksMax = 60;
    private const double NormalQuantile = 1.96;

    /// <summary>Blocks below which an interval says nothing.</summary>
    public const int BlocksMin = 8;

    /// <returns>Null for fewer readings than <see cref="BlocksMin"/>.</returns>
    public static RobustSlope? Of(IReadOnlyList<(double Seconds, double Value)> readings)
    {
        if (readings.Count < BlocksMin)
            return null;

        var blocks = Blocks(readings);
        var slopes = new List<double>(blocks.Count * (blocks.Count - 1) / 2);
        for (var left = 0; left < blocks.Count; left++)
        {
            for (var right = left + 1; right < blocks.Count; right++)
            {
                var seconds = blocks[right].Seconds - blocks[left].Seconds;
                if (seconds > 0)
                    slopes.Add((blocks[right].Value - blocks[left].Value) / seconds);
            }
        }

        if (slopes.Count == 0)
            return null;

        slopes.Sort();
        var n = (double)blocks.Count;
        var half = NormalQuantile * Math.Sqrt(n * (n - 1) * ((2 * n) + 5) / 18) / 2;
        var middle = (slopes.Count - 1) / 2.0;
        return new(
            At(slopes, middle),
            slopes[(int)Math.Clamp(Math.Floor(middle - half), 0, slopes.Count - 1)],
            slopes[(int)Math.Clamp(Math.Ceiling(middle + half), 0, slopes.Count - 1)]);
    }

    private static List<(double Seconds, double Value)> Blocks(IReadOnlyList<(double Seconds, double Value)> readings)
    {
        var count = Math.Min(BlocksMax, readings.Count);
        var blocks = new List<(double, double)>(count);
        for (var block = 0; block < count; block++)
        {
            var from = (int)((long)block * readings.Count / count);
            var to = (int)((block + 1L) * readings.Count / count);
            var inside = readings.Skip(from).Take(to - from).ToList();
            blocks.Add((Median([.. inside.Select(one => one.Seconds)]), Median([.. inside.Select(one => one.Value)])));
        }

        return blocks;
    }

    private static double Median(List<double> values)
    {
        values.Sort();
        return At(values, (values.Count - 1) / 2.0);
    }

    private static double At(List<double> sorted, double place) =>
        (sorted[(int)Math.Floor(place)] + sorted[(int)Math.Ceiling(place)]) / 2;
}
