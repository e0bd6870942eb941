using Fleet.Protocol.Devices;
using Fleet.Protocol.Streams;

namespace Fleet.Protocol.Incarnations;

/// <summary>Until when the objects of one process may answer without asking the database.</summary>
/// <remarks>
/// A process that stood still learns from its clock, before anything else, that it may have been replaced.
/// Concurrency: any thread. Source: Gray and Cheriton, Leases, SOSP 1989; docs/decisions/0021.
/// </remarks>
public abstract class ServingTerm
{
    /// <summary>Of a process that nobody can replace while it lives.</summary>
    public static ServingTerm Unlimited { get; } = new UnlimitedTerm();

    public abstract bool Holds { get; }

    /// <summary>Completes when the term was renewed, or it is known that it never will be.</summary>
    public abstract ValueTask RenewedAsync();

    private sealed class UnlimitedTerm : ServingTerm
    {
        public override bool Holds => true;

        public override ValueTask RenewedAsync() => ValueTask.CompletedTask;
    }
}

/// <summary>One incarnation of an object, from the process that serves it.</summary>
/// <param name="gen">Its number.</param>
/// <param name="before">What the incarnations before it left of a device.</param>
public class Tenure(int gen, DeviceState before, ServingTerm term)
{
    private volatile bool _isOver;
    private ObjectLog? _log;

    public int Gen => gen;

    public DeviceState Before => before;

    /// <summary>A newer incarnation is known to have begun, or this one was ended.</summary>
    public bool IsOver => _isOver;

    /// <summary>It may answer.</summary>
    public bool Serves => !_isOver && term.Holds;

    public ServingTerm Term => term;

    public void End()
    {
        _isOver = true;
        Interlocked.MemoryBarrier();
        _log?.End();
    }

    /// <summary>The object's log hears of the end, also of one that was before: at a call it asks nobody.</summary>
    internal void Tell(ObjectLog log)
    {
        _log = log;
        Interlocked.MemoryBarrier();
        if (_isOver)
        {
            log.End();
        }
    }
}

/// <summary>
/// A newer incarnation of the object exists: this one must stop, and nothing of the group was stored.
/// </summary>
public sealed class StaleIncarnationException(string name, int gen)
    : Exception($"Incarnation {gen} of {name} is stale: a newer one is known.")
{
    public string Name { get; } = name;

    public int Gen { get; } = gen;
}

/// <summary>A page map or a resource has lost the life that its device began there: the whole life is over.</summary>
public sealed class PartLostException(string name)
    : Exception($"{name} has lost the life that its device began there.");
