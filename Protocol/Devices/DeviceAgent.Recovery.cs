using Fleet.Kernel.History;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Devices;

/// <summary>What is durable of a device besides its events.</summary>
/// <param name="Life">The last life that began; 0 for none.</param>
/// <param name="IsBound">That life has not ended.</param>
public readonly record struct DeviceState(int Life, bool IsBound)
{
    /// <summary>The state after an event of the device.</summary>
    public DeviceState After(HistoryEvent happened) => happened.Kind switch
    {
        EventKind.BindBegin => new(happened.At.Life, true),
        EventKind.UnbindEnd or EventKind.Fenced => this with { IsBound = false },
        _ => this,
    };
}

/// <summary>Why a life ended where it stood, as events name who did it.</summary>
public static class FenceCause
{
    public const string Failover = "failover";

    public const string SurpriseRemoval = "surprise-remove";
}

/// <summary>Failover is surprise removal: the life that an earlier incarnation left ends where it stood.</summary>
/// <remarks>
/// Losing any one of device, page map or resource ends the whole life: the device begins a further incarnation, which
/// fences all of them and holds nothing. Source: design.md 2.2; docs/decisions/0021.
/// </remarks>
public sealed partial class DeviceAgent
{
    private bool _hasLostPart;

    /// <summary>This incarnation ended a life that an earlier one had left.</summary>
    public bool HasFenced { get; private set; }

    /// <summary>Ends this incarnation in its own process; its procedures stop at their next step.</summary>
    public void Stop() => Log.Tenure?.End();

    /// <summary>Looks whether every page map and resource still has the life that was begun there.</summary>
    /// <returns>False when one had not; <see cref="IFleetLinks.PartLost"/> was called then.</returns>
    public async ValueTask<bool> CheckParts()
    {
        try
        {
            foreach (var map in BoundMaps())
            {
                Demand(map.Id, map.Last, await map.Link.Look());
            }

            foreach (var counted in BoundRefs())
            {
                Demand(counted.Id, counted.Last, await counted.Link.Look());
            }

            return true;
        }
        catch (PartLostException)
        {
            return false;
        }
    }

    /// <summary>A part that answers for another incarnation than the one that this device knows has lost the
    /// life.</summary>
    /// <exception cref="PartLostException">It has.</exception>
    internal void Demand(int part, At known, At at)
    {
        if (known.Gen == 0 || at.Gen == known.Gen)
        {
            return;
        }

        var name = Context.Objects.Name(part);
        if (!_hasLostPart)
        {
            _hasLostPart = true;
            _links.PartLost(this);
        }

        throw new PartLostException(name);
    }

    /// <summary>Ends what an earlier incarnation left: here, at the page maps, at the resources.</summary>
    /// <remarks>
    /// Lives go on counting, so that a message of the lost life fits nothing. Handles of the earlier incarnation get
    /// <see cref="Kernel.Errno.ENODEV"/>. Nothing is bound before all of it is durable.
    /// </remarks>
    private async ValueTask Recover(string cause)
    {
        var before = Log.Before;
        if (before.IsBound)
        {
            HasFenced = true;
            Log.Add(EventKind.Fenced, actor: cause);
            _mapping?.Add(EventKind.Fenced, actor: cause, after: [new(Log.Obj, Log.Gen, Log.Last.Seq, Log.Last.Life)]);
        }

        Log.Life = before.Life + 1;
        await CommitAsync();
        for (var resource = 0; resource < Plan.Resources.Count; resource++)
        {
            if (!Plan.HasPlainMapping)
            {
                var map = _links.Map(Plan.ResourceKey(resource));
                Learn(
                    Context.Objects.Intern(Plan.MapName(resource)),
                    await map.Fence(Log.Gen, Log.Life, Log.Last, cause));
                if (Neighbours is { } neighbours)
                {
                    await neighbours.Erase(Plan.MapName(resource));
                }
            }
        }

        foreach (var key in Plan.RefKeys())
        {
            Learn(
                Context.Objects.Intern("ref:" + key),
                await _links.Resource(key).Fence(Log.Gen, Log.Life, Log.Last, cause));
        }
    }

    private IEnumerable<DeviceMap> BoundMaps()
    {
        foreach (var resource in _hot.Device.Resources.ToArray())
        {
            if (resource.Map.Handle is DeviceMap map)
            {
                yield return map;
            }
        }

        if (_other?.BoundMap is { Handle: DeviceMap known })
        {
            yield return known;
        }
    }

    private IEnumerable<DeviceRef> BoundRefs()
    {
        foreach (var resource in _hot.Device.Resources.ToArray())
        {
            if (resource.Map.Ref?.Handle is DeviceRef counted)
            {
                yield return counted;
            }
        }

        foreach (var counted in _other?.Bound.ToArray() ?? [])
        {
            yield return counted;
        }
    }
}
