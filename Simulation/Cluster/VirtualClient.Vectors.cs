using Fleet.Kernel.History;

namespace Fleet.Simulation.Cluster;

/// <summary>Vector calls: as many operations of one kind at one device as the scenario asks for.</summary>
/// <remarks>
/// Each element is an operation of its own, with its own number and position; one deadline leaves all of them unknown.
/// </remarks>
internal sealed partial class VirtualClient
{
    /// <summary>An sg list: the first element has the size that was drawn, the others draw their own.</summary>
    private void AllocMany(int device, ulong firstBytes)
    {
        var call = Call(BeginAlloc(device, firstBytes), _load.KnownGens[device]);
        call.More = new Operation[_load.VectorLength - 1];
        for (var i = 0; i < call.More.Length; i++)
        {
            call.More[i] = BeginAlloc(device, NextSize());
        }

        Send(call, _cluster.DeviceGrain(device));
    }

    /// <summary>Frees what is due, and with it what else the client holds of the same device.</summary>
    private void FreeDue(int place)
    {
        var held = SameDevice(place);
        if (held.Count < 2)
        {
            Free(place);
            return;
        }

        _place = place;
        var call = Call(BeginFree(held[0]), held.Max(one => one.Gen));
        call.More = [.. held.Skip(1).Select(one => BeginFree(one))];
        Send(call, _cluster.DeviceGrain(held[0].Device));
    }

    private void AccessSome(int place, AccessDirection direction)
    {
        var held = SameDevice(place);
        held.RemoveAll(one => one.Resource != _holdings[place].Resource
            || (direction is AccessDirection.Read && one.Tag == 0));
        if (held.Count < 2)
        {
            Access(place, direction);
            return;
        }

        _place = place;
        var call = Call(BeginAccess(held[0], direction), held.Max(one => one.Gen));
        call.More = [.. held.Skip(1).Select(one => BeginAccess(one, direction))];
        Send(call, AccessedAt(held[0]));
    }

    /// <summary>The holding at a place first, then others of its device, up to the length of a vector.</summary>
    private List<Holding> SameDevice(int place)
    {
        var held = new List<Holding>();
        if (_load.VectorLength == 1)
        {
            return held;
        }

        var first = _holdings[place];
        held.Add(first);
        var plan = _cluster.Devices[first.Device];
        for (var other = 0; other < _holdings.Count && held.Count < _load.VectorLength; other++)
        {
            if (other != place && _holdings[other].Device == first.Device
                && plan is { HasPins: false, HasQueue: false })
            {
                held.Add(_holdings[other]);
            }
        }

        return held;
    }
}
