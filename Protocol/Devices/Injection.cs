using Fleet.Kernel;
using Fleet.Kernel.Host;
using Fleet.Protocol.Plans;

namespace Fleet.Protocol.Devices;

/// <summary>
/// Which steps of one device fail: a pure function of seed, point, device, and how often the point was reached.
/// </summary>
internal sealed class Injection(RunPlan run, string device)
{
    private readonly Dictionary<FailPoint, long> _reached = [];

    /// <summary>Failures so far.</summary>
    public long Injected { get; private set; }

    /// <returns>What the step returns; <see cref="Errno.OK"/> to go on.</returns>
    public Errno Next(FailPoint point)
    {
        var name = FailPoints.WireName(point);
        var reached = 0L;
        foreach (var plan in run.Injections)
        {
            if (plan.Point != name)
            {
                continue;
            }

            if (reached == 0)
            {
                reached = _reached.GetValueOrDefault(point) + 1;
                _reached[point] = reached;
            }

            if (plan.Nth == 0 ? Draw(name, reached) < plan.Probability : plan.Nth == reached)
            {
                Injected++;
                return plan.Errno is Errno.OK ? FailPoints.DefaultErrno(point) : plan.Errno;
            }
        }

        return Errno.OK;
    }

    /// <summary>A number of [0, 1).</summary>
    private double Draw(string point, long reached)
    {
        var hash = StateHash.Seed;
        StateHash.Mix(ref hash, run.Seed);
        StateHash.Mix(ref hash, Fold(point));
        StateHash.Mix(ref hash, Fold(device));
        StateHash.Mix(ref hash, (ulong)reached);

        // The multiplier and shifts of SplitMix64: the low bits of the folded hash are not spread enough to compare.
        unchecked
        {
            hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9UL;
            hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EBUL;
            hash ^= hash >> 31;
        }

        return (hash >> 11) * (1.0 / (1UL << 53));
    }

    private static ulong Fold(string text)
    {
        var hash = StateHash.Seed;
        foreach (var c in text)
        {
            StateHash.Mix(ref hash, (ulong)c);
        }

        return hash;
    }
}
