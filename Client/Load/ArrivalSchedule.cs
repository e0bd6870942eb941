using System.Collections.Immutable;
using Fleet.Client.Scenarios;

namespace Fleet.Client.Load;

/// <summary>When the operations of an open load are due; a pure function of seed and time, so no answer can move
/// it.</summary>
/// <remarks>
/// Phases follow each other without a gap. The load's own rate runs from the begin of the first phase, scaled by each
/// phase's share; a phase with a rate of its own begins that rate anew. Evenly spaced, the n-th operation is due when
/// the rate's integral reaches n, so any interval holds its integral of operations to within one. A Poisson arrival
/// has exponential gaps in the integral instead of gaps of 1, and each client draws its own: the sum of independent
/// Poisson arrivals is one. Either way the clients' shares are disjoint and complete, on however many generators they
/// run.
/// </remarks>
public sealed class ArrivalSchedule
{
    private readonly ImmutableArray<Part> _parts;
    private readonly ulong _seed;

    public ArrivalSchedule(Rate rate, IReadOnlyList<Phase> phases, ulong seed)
    {
        _seed = seed;
        IsPoisson = rate is Rate.Poisson;
        var curve = RateCurve.Of(rate);
        var parts = ImmutableArray.CreateBuilder<Part>();
        var (before, begin) = (0.0, 0.0);
        foreach (var phase in phases.Where(phase => phase.Name != Phase.Drain))
        {
            var part = phase.OwnRate is { } own
                ? new Part(begin, phase.For.TotalSeconds, before, 1, RateCurve.Of(own), 0)
                : new Part(begin, phase.For.TotalSeconds, before, phase.RateShare, curve, begin);
            if (part.Operations > 0)
                parts.Add(part);
            before += part.Operations;
            begin += part.Seconds;
        }

        Operations = before;
        _parts = parts.ToImmutable();
    }

    /// <summary>Of the whole run; a Poisson arrival has this many on average.</summary>
    public double Operations { get; }

    public bool IsPoisson { get; }

    /// <summary>Operations that are due by a time: exact to within one where they are evenly spaced, else an
    /// average.</summary>
    /// <param name="time">Since the first phase began.</param>
    public double OperationsBy(TimeSpan time) => By(time.TotalSeconds);

    /// <summary>Operations per second that are due at a time.</summary>
    public double RateAt(TimeSpan time)
    {
        var seconds = time.TotalSeconds;
        foreach (var part in _parts)
        {
            if (seconds >= part.Begin && seconds < part.Begin + part.Seconds)
                return part.Share * part.Curve.At(part.CurveBegin + seconds - part.Begin);
        }

        return 0;
    }

    /// <summary>What one of several clients is to send, in order.</summary>
    /// <param name="client">From 0; over all generators of the run.</param>
    public ArrivalCursor CursorOf(int client, int clients)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(client, clients);
        return new(this, client, clients, IsPoisson ? new(_seed, "arrival", client) : null);
    }

    /// <summary>How many operations one of several clients is due to send by a time.</summary>
    public long CountOf(int client, int clients, TimeSpan time) => CursorOf(client, clients).SkipUntil(time);

    /// <summary>The time at which the integral reaches a number of operations below <see cref="Operations"/>.</summary>
    internal long DueNs(double operations)
    {
        var place = _parts.Length - 1;
        while (place > 0 && _parts[place].Before > operations)
            place--;
        return (long)(_parts[place].DueSeconds(operations) * 1e9);
    }

    internal double By(double seconds)
    {
        var by = 0.0;
        foreach (var part in _parts)
        {
            if (seconds > part.Begin)
                by = part.Before + part.OperationsIn(Math.Min(seconds - part.Begin, part.Seconds));
        }

        return by;
    }

    /// <param name="Before">Operations of all parts before.</param>
    /// <param name="CurveBegin">Where in its curve the part begins, in seconds.</param>
    private sealed record Part(
        double Begin, double Seconds, double Before, double Share, RateCurve Curve, double CurveBegin)
    {
        private readonly double _curveBefore = Curve.Integral(CurveBegin);

        public double Operations => OperationsIn(Seconds);

        public double OperationsIn(double seconds) =>
            Share * (Curve.Integral(CurveBegin + seconds) - _curveBefore);

        public double DueSeconds(double operations)
        {
            var due = Curve.Inverse(
                _curveBefore + ((operations - Before) / Share), CurveBegin, CurveBegin + Seconds);
            return Begin + Math.Clamp(due - CurveBegin, 0, Seconds);
        }
    }
}

/// <summary>Goes through the operations of one client in the order in which they are due.</summary>
/// <remarks>Concurrency: one owner.</remarks>
public sealed class ArrivalCursor
{
    /// <summary>Beyond this many, what a Poisson arrival skips is its average: drawing them all would take
    /// seconds.</summary>
    private const double DrawnMax = 1_000_000;

    private readonly ArrivalSchedule _schedule;
    private readonly int _clients;
    private readonly RandomStream? _gaps;
    private double _at;
    private long _dueNs;

    internal ArrivalCursor(ArrivalSchedule schedule, int client, int clients, RandomStream? gaps)
    {
        (_schedule, _clients, _gaps) = (schedule, clients, gaps);
        _at = gaps is null ? client : Gap();
        _dueNs = HasNext ? schedule.DueNs(_at) : 0;
    }

    /// <summary>False once everything was due.</summary>
    public bool HasNext => _at < _schedule.Operations - 1e-6;

    /// <summary>When the next one is due, since the first phase began; meaningful while there is one.</summary>
    public long DueNs => _dueNs;

    public void Advance()
    {
        _at += _gaps is null ? _clients : Gap();
        if (HasNext)
            _dueNs = Math.Max(_dueNs, _schedule.DueNs(_at));
    }

    /// <summary>Passes over what was sent before, so that the next one is due where it always was.</summary>
    public void Skip(long count)
    {
        if (_gaps is null)
        {
            _at += count * (double)_clients;
        }
        else
        {
            for (var skipped = 0L; skipped < count; skipped++)
                _at += Gap();
        }

        _dueNs = HasNext ? _schedule.DueNs(_at) : _dueNs;
    }

    /// <summary>Passes over everything that is due before a time, and counts it.</summary>
    public long SkipUntil(TimeSpan time)
    {
        var until = Math.Min(_schedule.OperationsBy(time), _schedule.Operations - 1e-6);
        if (_at >= until)
            return 0;

        var average = (until - _at) / _clients;
        var skipped = 0L;
        if (_gaps is null || average > DrawnMax)
        {
            skipped = (long)Math.Ceiling(average);
            _at += skipped * (double)_clients;
        }
        else
        {
            for (; _at < until; skipped++)
                _at += Gap();
        }

        _dueNs = HasNext ? _schedule.DueNs(_at) : _dueNs;
        return skipped;
    }

    private double Gap() => _clients * -Math.Log(1 - _gaps!.NextShare());
}
