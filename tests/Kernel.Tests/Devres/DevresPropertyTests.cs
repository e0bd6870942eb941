using CsCheck;

namespace Fleet.Kernel.Tests;

[Trait("tier", "fast")]
public sealed class DevresPropertyTests
{
    private const int Groups = 3;

    private static readonly Gen<(Command Command, int Pick)[]> Lives =
        Gen.Select(Gen.Enum<Command>(), Gen.Int[0, Groups - 1]).Array[1, 50];

    private enum Command { Add, Remove, Release, Open, Close, RemoveGroup, ReleaseGroup, ReleaseNewestOpen, ReleaseAll }

    public enum Planted { None, OldestFirst, OldestMatch, OverlappingGroupGoes, ClosedGroupByNull }

    // Goal: release order, exactly-once and the rules of groups, also of groups that overlap.
    // Method: a plain list that looks every position up anew does the same and must agree after every operation.
    [Fact]
    public void The_list_agrees_with_a_plain_one() =>
        Lives.Sample(life => Compare(life, Planted.None), iter: 20_000, threads: 1);

    [Theory]
    [InlineData(Planted.OldestFirst)]
    [InlineData(Planted.OldestMatch)]
    [InlineData(Planted.OverlappingGroupGoes)]
    [InlineData(Planted.ClosedGroupByNull)]
    public void A_planted_fault_is_caught(Planted planted) =>
        Assert.Throws<CsCheckException>(() => Lives.Sample(life => Compare(life, planted), iter: 100_000, threads: 1));

    private static bool Compare((Command Command, int Pick)[] life, Planted planted)
    {
        var devres = new Devres();
        var plain = new PlainList(planted);
        foreach (var (command, pick) in life)
        {
            var id = $"g{pick}";
            var (got, expected) = command switch
            {
                Command.Add => (Text(devres.AddAction(pick).Node!), plain.Add(pick)),
                Command.Remove => (Text(devres.RemoveAction(pick).Node), plain.TakeAction(pick)),
                Command.Release => (Text(devres.ReleaseAction(pick).Node), plain.TakeAction(pick)),
                Command.Open => ((string)devres.OpenGroup(id)!, plain.Open(id)),
                Command.Close when plain.IsClosed(id) => ("", ""),
                Command.Close => (Text(devres.CloseGroup(id)), plain.Close(id)),
                Command.RemoveGroup => (Text(devres.RemoveGroup(id)), plain.RemoveGroup(id)),
                Command.ReleaseGroup => (Text(devres.TakeGroup(id)), plain.ReleaseGroup(id)),
                Command.ReleaseNewestOpen => (Text(devres.TakeGroup()), plain.ReleaseGroup(null)),
                _ => (Text(devres.TakeAll()), plain.ReleaseAll()),
            };
            if (got != expected || Dump(devres) != plain.ToString())
            {
                return false;
            }
        }

        return true;
    }

    private static string Text(DevresNode? node) => node is null ? "warn" : $"{node.Id}";

    private static string Text(DevresFault fault) => fault is DevresFault.None ? "ok" : "warn";

    private static string Text(DevresTodo todo)
    {
        if (todo.Fault is not DevresFault.None)
        {
            return "warn";
        }

        var ran = new List<string>();
        while (todo.TryNext(out var node))
        {
            ran.Add(Text(node));
        }

        return ran.Count == todo.Count ? string.Join(' ', ran) : "wrong count";
    }

    private static string Dump(Devres devres) => string.Join(' ', devres.Nodes.Select(node => node.Id));

    /// <summary>The rules of B.1 over a list of entries, each group two of them.</summary>
    private sealed class PlainList(Planted planted)
    {
        private readonly List<Entry> _entries = [];
        private int _next;

        private sealed record Entry(int Number, int Fn, string? Group, Entry? Opening);

        public override string ToString() => string.Join(' ', _entries.Select(entry => entry.Number));

        public string Add(int fn) => $"{Append(fn, null, null).Number}";

        public string Open(string id) => Append(-1, id, null).Group!;

        public string TakeAction(int fn)
        {
            var found = planted is Planted.OldestMatch
                ? _entries.Find(entry => entry.Fn == fn)
                : _entries.FindLast(entry => entry.Fn == fn);
            _entries.Remove(found!);
            return found is null ? "warn" : $"{found.Number}";
        }

        public bool IsClosed(string id) => Find(id) is { } opening && Closing(opening) >= 0;

        public string Close(string id)
        {
            if (Find(id) is not { } opening)
            {
                return "warn";
            }

            Append(-1, id, opening);
            return "ok";
        }

        public string RemoveGroup(string id)
        {
            if (Find(id) is not { } opening)
            {
                return "warn";
            }

            _entries.RemoveAll(entry => entry == opening || entry.Opening == opening);
            return "ok";
        }

        public string ReleaseGroup(string? id)
        {
            if (Find(id) is not { } opening)
            {
                return "warn";
            }

            var (first, last) = (_entries.IndexOf(opening), Closing(opening));
            return Release(first, last < 0 ? _entries.Count : last + 1);
        }

        public string ReleaseAll() => Release(0, _entries.Count);

        private Entry Append(int fn, string? group, Entry? opening)
        {
            var entry = new Entry(_next++, fn, group, opening);
            _entries.Add(entry);
            return entry;
        }

        private Entry? Find(string? id) => _entries.FindLast(entry =>
            entry is { Group: not null, Opening: null }
            && (id is null ? Closing(entry) < 0 || planted is Planted.ClosedGroupByNull : entry.Group == id));

        private int Closing(Entry opening) => _entries.FindIndex(entry => entry.Opening == opening);

        private string Release(int first, int end)
        {
            var inside = _entries.GetRange(first, end - first);
            var ran = inside.Where(entry => entry.Group is null).ToList();
            if (planted is not Planted.OldestFirst)
            {
                ran.Reverse();
            }

            var groups = inside.Where(entry => entry is { Group: not null, Opening: null }
                && (Closing(entry) < 0 || inside.Exists(other => other.Opening == entry)
                    || planted is Planted.OverlappingGroupGoes)).ToList();
            _entries.RemoveAll(entry => ran.Contains(entry) || groups.Contains(entry.Opening ?? entry));
            return string.Join(' ', ran.Select(entry => entry.Number));
        }
    }
}
