using System.Collections.Immutable;
using Fleet.Client.Scenarios;

namespace Fleet.Client.Load;

/// <summary>When the n-th operation of an open load is due; a pure function, so no answer can move it.</summary>
/// <remarks>Phases follow each other without a gap; a phase's share scales the constant rate.</remarks>
public sealed class ArrivalSchedule
{
    private readonly ImmutableArray<(long FirstOperation, TimeSpan Begin, double PerSecond)> _parts;

    public ArrivalSchedule(double perSecond, IReadOnlyList<Phase> phases)
    {
        var parts = ImmutableArray.CreateBuilder<(long, TimeSpan, double)>();
        var (first, begin) = (0L, TimeSpan.Zero);
        foreach (var phase in phases)
        {
            var rate = perSecond * phase.RateShare;
            if (rate > 0)
                parts.Add((first, begin, rate));
            first += (long)Math.Floor(rate * phase.For.TotalSeconds);
            begin += phase.For;
        }

        Count = first;
        _parts = parts.ToImmutable();
    }

    /// <summary>Operations of the whole run.</summary>
    public long Count { get; }

    /// <param name="number">From 0 up to, not including, <see cref="Count"/>.</param>
    /// <returns>Time since the first phase began.</returns>
    public TimeSpan DueAt(long number)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(number, Count);
        var part = _parts.Length - 1;
        while (_parts[part].FirstOperation > number)
            part--;
        var (first, begin, perSecond) = _parts[part];
        return begin + TimeSpan.FromSeconds((number - first) / perSecond);
    }
}
