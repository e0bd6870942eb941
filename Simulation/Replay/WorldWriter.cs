using Fleet.Kernel.History;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Replay;

/// <summary>Writes the small world of one unbind and what a few clients did beside it.</summary>
internal sealed class WorldWriter(int resources, IReadOnlyList<RecordedChain> chains)
{
    private const int TouchesMax = 2;

    private readonly List<WorldOp> _prologue = [new(WorldOpKind.Bind)];
    private readonly List<WorldOp> _fillersFreed = [];
    private int _slots;

    internal WorldScript Write()
    {
        var before = chains.Where(one => one.IsBefore).OrderBy(one => one.Operations[0].At.Seq).ToList();
        var newest = resources - 1;

        // One page more for those who allocate beside the unbind, and begin with the newest resource.
        var attempts = before.Count < chains.Count ? 1 : 0;
        var pages = Math.Clamp(
            before.GroupBy(Place).Select(held => held.Count() + (held.Key == newest ? attempts : 0))
                .DefaultIfEmpty(1).Max(),
            1, WorldScript.PagesMax);
        var room = Enumerable.Repeat(pages, resources).ToArray();
        var slots = new Dictionary<RecordedChain, int>();
        foreach (var chain in before)
        {
            Fill(room, Place(chain));
            slots[chain] = _slots;
            Alloc(room, Place(chain), 1);
        }

        _prologue.AddRange(_fillersFreed);
        foreach (var chain in chains.Where(one => !one.IsBefore))
        {
            slots[chain] = _slots++;
        }

        return new()
        {
            Resources = resources,
            Pages = pages,
            Prologue = _prologue,
            Actors =
            [
                [new(WorldOpKind.Unbind)],
                .. chains.GroupBy(one => one.Client).Select(client => OpsOf([.. client], slots))
                    .Where(ops => ops.Count > 0),
            ],
        };
    }

    private int Place(RecordedChain chain) =>
        chain.Resource < 0 ? resources - 1 : Math.Min(chain.Resource, resources - 1);

    /// <summary>An alloc takes from the newest resource that has room: those above a wanted one must be full.</summary>
    private void Fill(int[] room, int wanted)
    {
        for (var newer = resources - 1; newer > wanted; newer--)
        {
            if (room[newer] > 0 && _slots < WorldScript.SlotsMax)
            {
                _fillersFreed.Add(new(WorldOpKind.Free, _slots));
                Alloc(room, newer, room[newer]);
            }
        }
    }

    private void Alloc(int[] room, int resource, int pages)
    {
        _prologue.Add(new(WorldOpKind.Alloc, _slots++, pages));
        room[resource] -= Math.Min(pages, room[resource]);
    }

    /// <summary>What one client did beside the unbind, in its own order.</summary>
    private static List<WorldOp> OpsOf(List<RecordedChain> mine, Dictionary<RecordedChain, int> slots)
    {
        var ops = new List<(long SentNs, WorldOp Op)>();
        foreach (var chain in mine)
        {
            var slot = slots[chain];
            var touches = chain.Operations.Where(op => op.Kind is OperationKind.Access).TakeLast(TouchesMax)
                .Select(op => op.Number).ToHashSet();
            if (!chain.IsNamed && chain.Resource >= 0)
            {
                // What holders do is kept only of those that the finding names: one touch stands for it.
                var last = chain.Operations[^1];
                ops.Add((last.SentNs + (last.Kind is OperationKind.Free ? -1 : 1), new(WorldOpKind.Touch, slot)));
            }

            foreach (var op in chain.Operations)
            {
                switch (op.Kind)
                {
                    case OperationKind.Alloc when !chain.IsBefore:
                        ops.Add((op.SentNs, new(WorldOpKind.Alloc, slot, 1)));
                        break;
                    case OperationKind.Access when touches.Contains(op.Number):
                        ops.Add((op.SentNs, new(WorldOpKind.Touch, slot)));
                        break;
                    case OperationKind.Free:
                        ops.Add((op.SentNs, new(WorldOpKind.Free, slot)));
                        break;
                }
            }
        }

        return [.. ops.OrderBy(one => one.SentNs).Select(one => one.Op)];
    }
}
