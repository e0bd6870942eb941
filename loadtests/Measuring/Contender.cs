namespace Fleet.LoadTests.Measuring;

/// <summary>One thing that is measured: it runs for about the time it is given and says how much it did.</summary>
/// <param name="Name">What it is, in the words of the table.</param>
/// <param name="RunAsync">Works until the time is over and returns the operations done.</param>
internal sealed record Contender(string Name, Func<TimeSpan, Task<long>> RunAsync)
{
    /// <summary>Clears away what a round left behind, outside of what is measured.</summary>
    public Action? AfterRound { get; init; }
}

/// <summary>What processes used up to now.</summary>
internal readonly record struct Use(double CpuSeconds, long AllocatedBytes)
{
    public static Use OfThisProcess =>
        new(Environment.CpuUsage.TotalTime.TotalSeconds, GC.GetTotalAllocatedBytes());

    public static Use operator +(Use left, Use right) =>
        new(left.CpuSeconds + right.CpuSeconds, left.AllocatedBytes + right.AllocatedBytes);

    public static Use operator -(Use left, Use right) =>
        new(left.CpuSeconds - right.CpuSeconds, left.AllocatedBytes - right.AllocatedBytes);
}

/// <summary>What one round of one contender cost.</summary>
/// <param name="Operations">Operations done.</param>
/// <param name="CpuSeconds">Processor time of this process over the round, all threads.</param>
/// <param name="WallSeconds">Time that passed.</param>
/// <param name="AllocatedBytes">Managed bytes allocated over the round, all threads.</param>
/// <param name="Others">What other processes used that had a part in it.</param>
internal readonly record struct Round(
    long Operations, double CpuSeconds, double WallSeconds, long AllocatedBytes, Use Others = default)
{
    /// <summary>Of every process that had a part in it.</summary>
    public double PerCpuSecond => Operations / (CpuSeconds + Others.CpuSeconds);

    public double PerSecond => Operations / WallSeconds;

    public double BytesPerOperation => (double)AllocatedBytes / Operations;

    public double OthersBytesPerOperation => (double)Others.AllocatedBytes / Operations;
}

/// <summary>
/// A figure beside its floor: the medians, and the ratio of each round to the floor's round next to it.
/// </summary>
internal sealed record Comparison(
    string Benchmark, string Contender, string Floor, IReadOnlyList<Round> Rounds, IReadOnlyList<Round> FloorRounds)
{
    /// <summary>Operations per CPU-second, median of the rounds.</summary>
    public double Figure => Median(Rounds.Select(round => round.PerCpuSecond));

    public double FloorFigure => Median(FloorRounds.Select(round => round.PerCpuSecond));

    /// <summary>Ratio of each round to the floor's round that ran beside it.</summary>
    public IReadOnlyList<double> Ratios =>
        [.. Rounds.Zip(FloorRounds, (own, floor) => own.PerCpuSecond / floor.PerCpuSecond).Order()];

    public double Ratio => Median(Ratios);

    internal static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        var middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
