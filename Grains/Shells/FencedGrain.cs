using Fleet.Protocol.Calls;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Streams;
using Fleet.Protocol.Wire;
using Orleans.Runtime;

namespace Fleet.Grains.Shells;

/// <summary>A grain whose object lives in incarnations, of which a later one fences an earlier one.</summary>
internal abstract class FencedGrain(FleetContext context) : Grain
{
    protected FleetContext Context => context;

    protected abstract ObjectLog Log { get; }

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        if (Log.Tenure is { } tenure)
        {
            await Context.Incarnations.LeaveAsync(Log.Name, tenure);
        }
    }
}

/// <summary>A part of a device: its device's procedures call it, and repeat a call until it is answered.</summary>
internal abstract class PartGrain(FleetContext context) : FencedGrain(context)
{
    private readonly PartCalls _calls = new();

    /// <summary>One that a later incarnation replaced goes, and whoever called finds the later one.</summary>
    /// <exception cref="StaleIncarnationException">This activation's incarnation is over.</exception>
    protected ValueTask<T> Once<T>(PartCall call, Func<ValueTask<T>> execute)
    {
        if (Log.IsOver)
        {
            DeactivateOnIdle();
            throw new StaleIncarnationException(Log.Name, Log.Gen);
        }

        return _calls.Once(call, execute);
    }

    protected async ValueTask<At> Committed(At at)
    {
        await Log.CommitAsync();
        return at;
    }
}
