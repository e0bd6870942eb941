using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using Fleet.Kernel.Host;
using Fleet.Kernel.Memremap;
using Fleet.Simulation.Exploration;

namespace Fleet.Simulation.Scenarios;

/// <summary>What an actor of a written world does next.</summary>
public enum WorldOpKind : byte { Bind, Unbind, Alloc, Touch, Free, Pin, Unpin, Enter, Leave }

/// <summary>One operation of a written world.</summary>
/// <param name="Number">Slot of an allocation, resource of a pin; else 0.</param>
/// <param name="Pages">Pages of an alloc; else 0.</param>
public readonly record struct WorldOp(WorldOpKind Kind, int Number = 0, int Pages = 0);

/// <summary>A small world that is written down instead of named: what a finding of a run is carried into.</summary>
/// <remarks>
/// <c>W2x1/b,a0,a1,f0/u/t1,f1</c>: two resources of one page each; what happens before, and then what each actor does,
/// beside the others. <c>b</c> bind, <c>u</c> unbind, <c>a1x2</c> allocate two pages into slot 1, <c>t1</c> touch it,
/// <c>f1</c> free it, <c>p0</c> pin the first page of resource 0, <c>q</c> unpin, <c>o</c> open the disk and enter a
/// request, <c>c</c> touch, leave and close. A slot belongs to one actor. Another driver has its letter behind the W:
/// D device-dax, F fsdax, R raw pmem, H hmm, I hmm with a resource. The text needs no quoting in a shell and fits into
/// a token.
/// </remarks>
public sealed record WorldScript
{
    public const int ResourcesMax = 4;
    public const int PagesMax = 16;
    public const int ActorsMax = 6;
    public const int OpsMax = 64;
    public const int SlotsMax = 16;

    private const string Letters = "buatfpqoc";
    private const string Drivers = "\0DFRHI";

    public WorldDriver Driver { get; init; }

    public required int Resources { get; init; }

    /// <summary>Pages of each resource.</summary>
    public required int Pages { get; init; }

    /// <summary>What happens before, in order and without a choice.</summary>
    public required IReadOnlyList<WorldOp> Prologue { get; init; }

    /// <summary>What each actor does; they are called A, B, C and so on.</summary>
    public required IReadOnlyList<IReadOnlyList<WorldOp>> Actors { get; init; }

    /// <summary>Operations of everybody.</summary>
    public int Ops => Prologue.Count + Actors.Sum(one => one.Count);

    /// <summary>Bindings that may come one after the other.</summary>
    internal int Binds => Actors.Prepend(Prologue).Sum(list => list.Count(op => op.Kind is WorldOpKind.Bind));

    public static bool TryParse(string text, [NotNullWhen(true)] out WorldScript? script)
    {
        script = null;
        var fields = text.Split('/');
        if (fields.Length is < 3 or > ActorsMax + 2 || !TryReadWorld(fields[0], out var world))
        {
            return false;
        }

        var lists = new List<IReadOnlyList<WorldOp>>();
        foreach (var field in fields.AsSpan(1))
        {
            if (!TryReadOps(field, world, out var ops))
            {
                return false;
            }

            lists.Add(ops);
        }

        var read = world with { Prologue = lists[0], Actors = lists[1..] };

        // What an actor holds is its own: no step declares that another might look at it.
        var isShared = Enumerable.Range(0, SlotsMax)
            .Any(slot => read.Actors.Count(list => list.Any(op => Uses(op, slot))) > 1);
        script = read.Ops <= OpsMax && !isShared ? read : null;
        return script is not null;
    }

    public override string ToString()
    {
        var text = new StringBuilder("W");
        if (Driver is not WorldDriver.P2p)
        {
            text.Append(Drivers[(int)Driver]);
        }

        text.Append(CultureInfo.InvariantCulture, $"{Resources}x{Pages}");
        foreach (var list in Actors.Prepend(Prologue))
        {
            text.Append('/').AppendJoin(',', list.Select(Text));
        }

        return text.ToString();
    }

    /// <summary>The world as the explorer runs it.</summary>
    public Scenario ToScenario() => new()
    {
        Id = ToString(),
        Title = "a written world",
        Layout = Layout.Scripted,
        Script = this,
        Driver = Driver,
        Prologue = Prologue.Count == 0 ? null : host => Play(host, Prologue),
        Actors =
        [
            .. Actors.Select(
                (ops, i) => new ScenarioActor(((char)('A' + i)).ToString(), host => Play(host, ops))),
        ],
    };

    /// <summary>Every world with one thing less, the most first.</summary>
    /// <param name="inPairs">Only what belongs together is left out together: an allocation with all that is done to
    /// it.</param>
    internal IEnumerable<WorldScript> Smaller(bool inPairs)
    {
        for (var i = Actors.Count - 1; i > 0; i--)
        {
            yield return Without((list, _) => list == i + 1);
        }

        if (Resources > 1)
        {
            yield return this with { Resources = Resources - 1 };
        }

        for (var slot = 0; slot < SlotsMax; slot++)
        {
            if (Actors.Prepend(Prologue).Any(list => list.Any(op => Uses(op, slot))))
            {
                yield return Without((_, op) => Uses(op, slot));
            }
        }

        foreach (var (list, index) in inPairs ? [] : Places())
        {
            yield return WithoutAt(list, index);
        }

        if (Pages > 1)
        {
            yield return this with { Pages = Pages / 2 };
            yield return this with { Pages = Pages - 1 };
        }
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    private static async ValueTask Play(ExploreHost host, IReadOnlyList<WorldOp> ops)
    {
        var parts = host.World.Parts;
        for (var i = 0; i < ops.Count; i++)
        {
            var op = ops[i];
            await (op.Kind switch
            {
                WorldOpKind.Bind => parts.Bind(host),
                WorldOpKind.Unbind => parts.Unbind(host),
                WorldOpKind.Alloc => parts.Alloc(host, op.Number, (ulong)op.Pages * DevPagemap.PageBytes),
                WorldOpKind.Touch => parts.Access(host, op.Number),
                WorldOpKind.Free => parts.Free(host, op.Number),
                WorldOpKind.Pin => parts.PinPage(host, op.Number),
                WorldOpKind.Unpin => parts.UnpinPage(host),
                WorldOpKind.Enter => parts.OpenAndEnter(host),
                _ => parts.AccessExitAndClose(host),
            });
        }
    }

    private static bool Uses(WorldOp op, int slot) =>
        op.Kind is WorldOpKind.Alloc or WorldOpKind.Touch or WorldOpKind.Free && op.Number == slot;

    private static string Text(WorldOp op) => op.Kind switch
    {
        WorldOpKind.Alloc when op.Pages > 1 => string.Create(
            CultureInfo.InvariantCulture, $"a{op.Number}x{op.Pages}"),
        WorldOpKind.Alloc or WorldOpKind.Touch or WorldOpKind.Free or WorldOpKind.Pin => string.Create(
            CultureInfo.InvariantCulture, $"{Letters[(int)op.Kind]}{op.Number}"),
        _ => Letters[(int)op.Kind].ToString(),
    };

    private static bool TryReadWorld(string text, [NotNullWhen(true)] out WorldScript? world)
    {
        world = null;
        if (text.Length < 4 || text[0] != 'W')
        {
            return false;
        }

        var driver = Drivers.IndexOf(text[1], 1);
        var sizes = text[(driver > 0 ? 2 : 1)..].Split('x');
        if (sizes.Length != 2
            || !TryReadNumber(sizes[0], ResourcesMax, out var resources)
            || !TryReadNumber(sizes[1], PagesMax, out var pages)
            || resources == 0 || pages == 0 || (driver > 0 && (resources, pages) is not (1, 1)))
        {
            return false;
        }

        world = new WorldScript
        {
            Driver = (WorldDriver)Math.Max(0, driver),
            Resources = resources,
            Pages = pages,
            Prologue = [],
            Actors = [],
        };
        return true;
    }

    private static bool TryReadOps(string text, WorldScript world, out IReadOnlyList<WorldOp> ops)
    {
        var read = new List<WorldOp>();
        ops = read;
        foreach (var one in text.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            if (!TryReadOp(one, world, out var op))
            {
                return false;
            }

            read.Add(op);
        }

        return true;
    }

    private static bool TryReadOp(string text, WorldScript world, out WorldOp op)
    {
        var letter = Letters.IndexOf(text[0], StringComparison.Ordinal);
        var kind = (WorldOpKind)Math.Max(0, letter);
        op = new(kind);
        switch (kind)
        {
            case WorldOpKind.Bind or WorldOpKind.Unbind or WorldOpKind.Unpin:
                return letter >= 0 && text.Length == 1;
            case WorldOpKind.Enter or WorldOpKind.Leave:
                return text.Length == 1 && world.Driver is WorldDriver.PmemFsdax or WorldDriver.PmemRaw;
            case WorldOpKind.Pin:
                var canPin = TryReadNumber(text[1..], world.Resources - 1, out var resource);
                op = op with { Number = resource };
                return canPin;
            case WorldOpKind.Touch or WorldOpKind.Free:
                var isSlot = TryReadNumber(text[1..], SlotsMax - 1, out var slot);
                op = op with { Number = slot };
                return isSlot && world.Driver is WorldDriver.P2p;
            case WorldOpKind.Alloc:
                var numbers = text[1..].Split('x');
                var pages = 1;
                if (numbers.Length > 2 || !TryReadNumber(numbers[0], SlotsMax - 1, out var into)
                    || (numbers.Length == 2 && !TryReadNumber(numbers[1], PagesMax, out pages)))
                {
                    return false;
                }

                op = op with { Number = into, Pages = pages };
                return pages > 0 && world.Driver is WorldDriver.P2p;
            default:
                return false;
        }
    }

    private static bool TryReadNumber(string text, int max, out int number) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number <= max;

    private IEnumerable<(int List, int Index)> Places()
    {
        for (var list = Actors.Count; list >= 0; list--)
        {
            for (var index = (list == 0 ? Prologue : Actors[list - 1]).Count - 1; index >= 0; index--)
            {
                yield return (list, index);
            }
        }
    }

    private WorldScript WithoutAt(int list, int index)
    {
        var position = 0;
        return Without((of, _) => of == list && position++ == index);
    }

    private WorldScript Without(Func<int, WorldOp, bool> isLeftOut)
    {
        IReadOnlyList<WorldOp> Rest(IReadOnlyList<WorldOp> ops, int list) =>
            [.. ops.Where(op => !isLeftOut(list, op))];
        var actors = Actors.Select((ops, i) => Rest(ops, i + 1)).ToList();
        return this with
        {
            Prologue = Rest(Prologue, 0),

            // The first actor is the driver's, even where nothing of it is left.
            Actors = [.. actors.Where((ops, i) => i == 0 || ops.Count > 0)],
        };
    }
}
