using System.Collections.Immutable;
using Fleet.Client.Scenarios;

namespace Fleet.Client.Load;

/// <summary>Operations per second over time, with its integral and the inverse of that.</summary>
/// <remarks>
/// A pure function of time: what is due is known before the first operation is sent, and no answer can move it. Times
/// are seconds from the begin of the curve.
/// </remarks>
public abstract class RateCurve
{
    private const int StepsMax = 200;
    private const double PrecisionSeconds = 1e-10;

    public static RateCurve Of(Rate rate) => rate switch
    {
        Rate.Constant constant => new ConstantCurve(constant.PerSecond),
        Rate.Poisson poisson => new ConstantCurve(poisson.PerSecond),
        Rate.Ramp ramp => new RampCurve(ramp.FromPerSecond, ramp.ToPerSecond, ramp.Over.TotalSeconds),
        Rate.Step step => new StepCurve(step.PerSecond, step.Every.TotalSeconds),
        Rate.Sine sine => new SineCurve(sine.PerSecond, sine.AmplitudePerSecond, sine.Period.TotalSeconds),
        Rate.Burst burst => new BurstCurve(
            burst.PerSecond, burst.PeakPerSecond, burst.Every.TotalSeconds, burst.For.TotalSeconds),
        _ => throw new ArgumentOutOfRangeException(nameof(rate)),
    };

    /// <summary>Operations per second at a time.</summary>
    public abstract double At(double seconds);

    /// <summary>Operations from 0 to a time: never falls.</summary>
    public abstract double Integral(double seconds);

    /// <summary>The time at which the integral reaches a number of operations.</summary>
    /// <param name="low">A time at which it has not reached it yet.</param>
    /// <param name="high">A time at which it has.</param>
    public virtual double Inverse(double operations, double low, double high)
    {
        // Newton's step where it stays inside the bracket, else the middle: jumps and flat stretches need no case.
        var at = low + ((high - low) / 2);
        for (var step = 0; step < StepsMax && high - low > PrecisionSeconds; step++)
        {
            var missing = operations - Integral(at);
            if (missing > 0)
                low = at;
            else
                high = at;

            var rate = At(at);
            var next = rate > 0 ? at + (missing / rate) : double.NaN;
            if (next > low && next < high)
            {
                // A step that no longer moves has arrived; both sides of it close the bracket.
                if (Math.Abs(next - at) < PrecisionSeconds)
                    return next;

                at = next;
            }
            else
            {
                at = low + ((high - low) / 2);
            }
        }

        return high;
    }

    private sealed class ConstantCurve(double perSecond) : RateCurve
    {
        public override double At(double seconds) => perSecond;

        public override double Integral(double seconds) => perSecond * seconds;

        public override double Inverse(double operations, double low, double high) => operations / perSecond;
    }

    /// <summary>From one rate to another in a straight line, then the other for ever.</summary>
    private sealed class RampCurve(double from, double to, double over) : RateCurve
    {
        public override double At(double seconds) => seconds < over ? from + ((to - from) * seconds / over) : to;

        public override double Integral(double seconds)
        {
            var within = Math.Min(seconds, over);
            return (from * within) + ((to - from) * within * within / (2 * over)) + (to * (seconds - within));
        }
    }

    /// <summary>One rate after the other, then the last for ever.</summary>
    private sealed class StepCurve(ImmutableArray<double> perSecond, double every) : RateCurve
    {
        private readonly double[] _before = Before(perSecond, every);

        public override double At(double seconds) => perSecond[Place(seconds)];

        public override double Integral(double seconds)
        {
            var place = Place(seconds);
            return _before[place] + (perSecond[place] * (seconds - (place * every)));
        }

        private int Place(double seconds) => (int)Math.Clamp(Math.Floor(seconds / every), 0, perSecond.Length - 1);

        private static double[] Before(ImmutableArray<double> perSecond, double every)
        {
            var before = new double[perSecond.Length];
            for (var place = 1; place < before.Length; place++)
                before[place] = before[place - 1] + (perSecond[place - 1] * every);
            return before;
        }
    }

    /// <summary>Around a middle; begins there and rises first.</summary>
    private sealed class SineCurve(double perSecond, double amplitude, double period) : RateCurve
    {
        private readonly double _turn = 2 * Math.PI / period;

        public override double At(double seconds) => perSecond + (amplitude * Math.Sin(_turn * seconds));

        public override double Integral(double seconds) =>
            (perSecond * seconds) + (amplitude / _turn * (1 - Math.Cos(_turn * seconds)));
    }

    /// <summary>A base rate that jumps to a peak at the begin of each interval.</summary>
    private sealed class BurstCurve(double perSecond, double peak, double every, double length) : RateCurve
    {
        public override double At(double seconds) =>
            seconds - (Math.Floor(seconds / every) * every) < length ? peak : perSecond;

        public override double Integral(double seconds)
        {
            var bursts = Math.Floor(seconds / every);
            var into = seconds - (bursts * every);
            return (bursts * ((peak * length) + (perSecond * (every - length))))
                + (peak * Math.Min(into, length)) + (perSecond * Math.Max(0, into - length));
        }
    }
}
