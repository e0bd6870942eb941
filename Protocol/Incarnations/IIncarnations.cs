using Fleet.Protocol.Devices;

namespace Fleet.Protocol.Incarnations;

/// <summary>What outlives every process of one object.</summary>
/// <param name="Gen">The newest incarnation; 0 when there was none.</param>
/// <param name="State">Of a device; <c>default</c> of anything else.</param>
/// <param name="Plan">What was kept with the object, as it was given; null for nothing.</param>
public readonly record struct DurableObject(int Gen, DeviceState State, string? Plan);

/// <summary>Numbers the incarnations of objects; what numbers them also fences the earlier ones.</summary>
/// <remarks>Concurrency: any thread. Source: design.md 2.2; docs/decisions/0021.</remarks>
public interface IIncarnations
{
    /// <summary>Stale incarnations are refused. Off is for control runs, which show that a checker sees them.</summary>
    bool IsFencing { get; set; }

    /// <summary>Begins the next incarnation of an object: 1 at first, larger each time.</summary>
    /// <remarks>Completes when the one before it surely answers nobody any more.</remarks>
    /// <param name="plan">What a later incarnation has to know to begin; null keeps what is known.</param>
    ValueTask<Tenure> BeginAsync(string name, KeptPlan? plan = null);

    ValueTask<DurableObject> KnownAsync(string name);

    /// <summary>Keeps a plan under a name; null forgets it.</summary>
    ValueTask KeepAsync(string name, KeptPlan? plan);

    /// <summary>Keeps a plan under the name of an object, in the name of its newest incarnation.</summary>
    /// <returns>False, and nothing is kept, where <paramref name="gen"/> is not the newest any more: whoever follows
    /// reads what was kept before, or what is kept here, and knows that nobody changes it later.</returns>
    ValueTask<bool> TryKeepAsync(string name, int gen, KeptPlan plan);

    /// <summary>Returns the names under which a plan is kept.</summary>
    ValueTask<IReadOnlyList<string>> NamesAsync(string prefix);

    /// <summary>An incarnation has stopped of its own will: whoever follows it need not wait.</summary>
    ValueTask LeaveAsync(string name, Tenure tenure);
}
