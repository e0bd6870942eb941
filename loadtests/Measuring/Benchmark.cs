namespace Fleet.LoadTests.Measuring;

/// <summary>One benchmark by its name: it tells each line as soon as it is known.</summary>
/// <param name="Measures">What, in a few words.</param>
/// <param name="QuickMax">Wall time after which a quick one is cut off; what it told until then stands.</param>
/// <param name="WholeMax">The same where it is not quick.</param>
internal sealed record Benchmark(
    string Name, string Measures, TimeSpan QuickMax, TimeSpan WholeMax,
    Func<bool, CancellationToken, IAsyncEnumerable<Line>> Run)
{
    /// <summary>Runs unless others are named: false for parts of another one and for what takes minutes.</summary>
    public bool IsUnasked { get; init; } = true;

    /// <summary>Looks at the memory of its process, in which nothing else may have run.</summary>
    public bool IsAlone { get; init; }

    /// <summary>What has to be there before anything is measured, within a time of its own; null for nothing. A quick
    /// one does without.</summary>
    public Func<CancellationToken, Task>? Prepare { get; init; }

    public TimeSpan PrepareMax { get; init; }

    public TimeSpan Max(bool isQuick) => isQuick ? QuickMax : WholeMax;

    /// <summary>A benchmark that knows its lines only at the end.</summary>
    public static Func<bool, CancellationToken, IAsyncEnumerable<Line>> AtOnce(
        Func<bool, CancellationToken, Task<IReadOnlyList<Line>>> run)
    {
        return LinesAsync;

        async IAsyncEnumerable<Line> LinesAsync(
            bool isQuick, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken ct)
        {
            foreach (var line in await run(isQuick, ct))
            {
                yield return line;
            }
        }
    }
}
