namespace Fleet.Simulation.Exploration;

/// <summary>The state of all objects that can be reached from a few roots, to be put back as often as wanted.</summary>
/// <remarks>
/// Nothing may be suspended when it is taken: frames of procedures are handed out anew, and one that came back with its
/// old contents could belong to two callers. Objects made later are simply left behind. Source: docs/decisions/0107.
/// </remarks>
internal sealed class StateCopy
{
    private readonly (object Object, object Copy, Action<object, object> PutBack)[] _kept;

    internal StateCopy(IEnumerable<object> roots)
    {
        var met = new HashSet<object>(roots, ReferenceEqualityComparer.Instance);
        var kept = new List<(object, object, Action<object, object>)>();
        var open = new Queue<object>(met);
        var neighbours = new List<object>();
        while (open.TryDequeue(out var one))
        {
            var plan = TypePlan.Of(one.GetType());
            if (plan.IsConstant || one is Delegate or string)
            {
                continue;
            }

            if (plan.PutBack is { } putBack)
            {
                kept.Add((one, plan.Copy(one), putBack));
            }

            neighbours.Clear();
            plan.AddNeighbours(one, neighbours);
            foreach (var next in neighbours)
            {
                if (met.Add(next))
                {
                    open.Enqueue(next);
                }
            }
        }

        _kept = [.. kept];
    }

    internal void PutBack()
    {
        foreach (var (one, copy, putBack) in _kept)
        {
            putBack(copy, one);
        }
    }
}
