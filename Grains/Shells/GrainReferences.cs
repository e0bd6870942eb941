using Orleans.Runtime;

namespace Fleet.Grains.Shells;

/// <summary>References to grains of one kind, by their keys.</summary>
/// <remarks>
/// The factory reads the attributes of the interface and writes its name for each reference that it makes. Of one kind
/// all have what the first was given, but for the key. Concurrency: any thread; two may both make the first.
/// </remarks>
internal sealed class GrainReferences<TGrain>(IGrainFactory grains)
    where TGrain : class, IGrainWithStringKey
{
    private volatile GrainReference? _first;

    public TGrain this[string key]
    {
        get
        {
            if (_first is { } known)
            {
                return (TGrain)grains.GetGrain(
                    GrainId.Create(known.GrainId.Type, IdSpan.Create(key)), known.InterfaceType);
            }

            var first = grains.GetGrain<TGrain>(key);
            _first = first as GrainReference;
            return first;
        }
    }
}
