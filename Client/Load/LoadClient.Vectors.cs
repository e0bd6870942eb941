using Fleet.Kernel.History;
using Fleet.Protocol.Wire;

namespace Fleet.Client.Load;

/// <summary>Vector calls: as many operations of one kind at one device as the scenario asks for.</summary>
/// <remarks>
/// Each element is an operation of its own, with its own number and position; all of a call are intended, sent and done
/// together, and one deadline leaves all of them unknown.
/// </remarks>
public sealed partial class LoadClient
{
    private DeadlineCall<AllocReply[]>? _allocMany;
    private DeadlineCall<FreeReply[]>? _freeMany;
    private DeadlineCall<AccessReply[]>? _accessMany;

    private bool IsVector => _context.Options.VectorLength > 1;

    private void DisposeVectors()
    {
        _allocMany?.Dispose();
        _freeMany?.Dispose();
        _accessMany?.Dispose();
    }

    /// <summary>An sg list: the first element has the size that was drawn, the others draw their own.</summary>
    private async ValueTask AllocManyAsync(int device, ulong firstBytes)
    {
        var operations = new Operation[_context.Options.VectorLength];
        var requests = new AllocRequest[operations.Length];
        for (var i = 0; i < operations.Length; i++)
        {
            operations[i] = Begin(OperationKind.Alloc, device);
            operations[i].SizeBytes = i == 0 ? firstBytes : (ulong)_context.Sizes.NextBytes(_random);
            requests[i] = ToAlloc(operations[i], device);
        }

        _allocMany ??= new(_context.Watch);
        Sending(operations[^1]);
        var answer = await _allocMany.StartAsync(
            _context.Port.AllocManyAsync(device, requests), _context.Options.Deadline);
        _allocMany = _allocMany.IsSpent ? null : _allocMany;
        for (var i = 0; i < operations.Length; i++)
            Allocated(ref operations[i], device, ElementOf(answer, i));
        foreach (var operation in operations)
        {
            if (operation.Outcome is OperationOutcome.Unknown)
                await AllocLostAsync(operation, device);
        }
    }

    /// <summary>Frees what is due, and with it what else the client holds of the same device.</summary>
    private async ValueTask FreeDueAsync(int place)
    {
        var held = IsVector ? SameDevice(place) : [];
        if (held.Count < 2)
        {
            await FreeAsync(place);
            return;
        }

        var operations = held.ConvertAll(BeginFree).ToArray();
        _freeMany ??= new(_context.Watch);
        Sending(operations[^1]);
        var answer = await _freeMany.StartAsync(
            _context.Port.FreeManyAsync(
                held[0].Device, [.. operations.Select((operation, i) => ToFree(operation, held[i]))]),
            _context.Options.Deadline);
        _freeMany = _freeMany.IsSpent ? null : _freeMany;
        for (var i = 0; i < operations.Length; i++)
            Freed(ref operations[i], held[i], ElementOf(answer, i));
        for (var i = 0; i < operations.Length; i++)
            await FreedAsync(operations[i], held[i], resource: -1);
    }

    private async ValueTask AccessSomeAsync(int place, AccessDirection direction)
    {
        var held = IsVector ? SameDevice(place) : [];
        held.RemoveAll(one => one.Resource != _holdings[place].Resource
            || (direction is AccessDirection.Read && one.Tag == 0));
        if (held.Count < 2)
        {
            await AccessAsync(place, direction);
            return;
        }

        var operations = held.ConvertAll(one => BeginAccess(one, direction)).ToArray();
        _accessMany ??= new(_context.Watch);
        Sending(operations[^1]);
        var answer = await _accessMany.StartAsync(
            _context.Port.AccessManyAsync(
                held[0].Device, held[0].Resource,
                [.. operations.Select((operation, i) => ToAccess(operation, held[i]))]),
            _context.Options.Deadline);
        _accessMany = _accessMany.IsSpent ? null : _accessMany;
        for (var i = 0; i < operations.Length; i++)
            Accessed(ref operations[i], ElementOf(answer, i));
        for (var i = 0; i < operations.Length; i++)
            _ = await KeepsAsync(held[i], operations[i]);
    }

    /// <summary>The holding at a place first, then others of its device, up to the length of a vector.</summary>
    private List<Holding> SameDevice(int place)
    {
        var first = _holdings[place];
        var held = new List<Holding> { first };
        if (_context.Fleet.Holds[first.Device] is not HolderKind.Memory)
            return held;

        foreach (var other in _holdings)
        {
            if (held.Count == _context.Options.VectorLength)
                break;
            if (other != first && other.Device == first.Device)
                held.Add(other);
        }

        return held;
    }

    private static CallAnswer<T> ElementOf<T>(in CallAnswer<T[]> answer, int element) =>
        new(answer.IsKnown, answer.IsKnown ? answer.Value[element] : default!, element == 0 ? answer.Failure : null);
}
