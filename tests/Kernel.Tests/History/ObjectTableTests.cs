using CsCheck;
using Fleet.Kernel.History;

namespace Fleet.Kernel.Tests.History;

[Trait("tier", "fast")]
public sealed class ObjectTableTests
{
    private static readonly string[] Endings =
    [
        "", ".", ".0", ".1", ".2", ".17", ".017", ".00", ".999999999", ".1000000000", ".2147483648", ".99999999999999",
        ".x", ".2x", ".-2", ".+2", ". 2", ".٣", ".2.3", ".2.", "..2",
    ];

    private static readonly string[] Kinds =
        ["p2pdma:", "p2p_pgmap:", "queue:", "dev:", "map:", "ref:", "pool:", "client:", "", "x", "."];

    private static readonly string[] Bodies =
        ["h/0000:01:00", "h/0000:01:00.0", "h/0000:01:00.0/bar4", "h/pmem0", ""];

    private static readonly Gen<string> Names = Gen.Select(OneOf(Kinds), OneOf(Bodies), OneOf(Endings))
        .Select((kind, body, ending) => kind + body + ending).Where(name => name.Length > 0);

    // Goal: a name is kept in two parts, and nobody sees it: every name is what was given, under one id, found again.
    // Method: names whose endings are, and are nearly, the number of a life; beside a list of names in their order.
    [Fact]
    public void Every_name_is_given_back_as_it_came() => Names.Array[1, 120].Sample(
        names =>
        {
            var table = new ObjectTable();
            var known = new List<string>();
            foreach (var name in names)
            {
                var (found, last) = (table.Find(name), table.LastId);
                var id = table.Intern(name);

                // A ref, map or pool brings its device along, before itself.
                for (var fresh = last + 1; fresh <= table.LastId; fresh++)
                {
                    known.Add(table.Name(fresh));
                }

                Assert.Equal(found == 0 ? table.LastId : found, id);
                Assert.Equal(name, table.Name(id));
                Assert.Equal(known.IndexOf(name) + 1, id);
            }

            Assert.Equal(known.Distinct(), known);
            foreach (var (place, name) in known.Index())
            {
                Assert.Equal(place + 1, table.Intern(name));
                Assert.Equal(place + 1, table.Find(name));
                Assert.Equal(name, table.Name(place + 1));
            }
        },
        iter: 400);

    // Goal: what is asked of a name without a string of it, and given without one, is what strings say.
    // Method: names of all forms beside their own pieces, with room for all of a name, for a part of it and for none.
    [Fact]
    public void A_question_about_a_name_is_answered_as_its_string_would() =>
        Gen.Select(Names.Array[1, 60], Gen.Int[0, 40], Gen.Int[0, 40]).Sample(
            (names, cut, room) =>
            {
                var (table, plain) = (new ObjectTable(), new ObjectTable());
                foreach (var name in names)
                {
                    var (first, last) = (name[..(cut % name.Length)], name[(cut % name.Length)..]);
                    Assert.Equal(plain.Find(name), table.Find($"{first}{last}"));
                    var id = cut % 2 == 0 ? table.Intern($"{first}{last}") : table.Intern(name.AsSpan());
                    Assert.Equal(plain.Intern(name), id);
                    Assert.Equal(plain.LastId, table.LastId);
                }

                foreach (var id in Enumerable.Range(1, table.LastId))
                {
                    var name = table.Name(id);
                    Assert.Equal(plain.Name(id), name);
                    Assert.Equal((plain.Kind(id), plain.DeviceOf(id)), (table.Kind(id), table.DeviceOf(id)));
                    Assert.Equal(name, table.Name(id, new char[room]).ToString());
                    Assert.Equal(name, table.Name(id, new char[ObjectTable.UsualLength]).ToString());
                    foreach (var piece in names.Append(name).SelectMany(PiecesOf))
                    {
                        Assert.Equal(
                            name.StartsWith(piece, StringComparison.Ordinal), table.NameStartsWith(id, piece));
                        Assert.Equal(name.EndsWith(piece, StringComparison.Ordinal), table.NameEndsWith(id, piece));
                    }
                }

                IEnumerable<string> PiecesOf(string of) =>
                    [of, of + "x", of[..(cut % of.Length)], of[(cut % of.Length)..], .. Kinds, "/shared", "/bar4"];
            },
            iter: 100);

    [Fact]
    public void A_name_longer_than_the_usual_room_is_answered_for_as_well()
    {
        var table = new ObjectTable();
        var key = new string('h', ObjectTable.UsualLength) + "/0000:01:00.0";
        var name = $"p2p_pgmap:{key}/bar4.1";
        table.Intern($"dev:{key}");
        var id = table.Intern(name);

        Assert.True(table.NameStartsWith(id, name[..^1]));
        Assert.True(table.NameEndsWith(id, name[1..]));
        Assert.Equal(id, table.Find(name));
        Assert.Equal(name, table.Name(id, stackalloc char[ObjectTable.UsualLength]).ToString());
    }

    [Fact]
    public void A_question_about_a_known_name_allocates_nothing()
    {
        var table = new ObjectTable();
        var key = "h/0000:01:00.0";
        var device = table.Intern($"dev:{key}");
        var map = table.Intern($"map:{key}/bar4");
        var data = table.Intern($"p2p_pgmap:{key}/bar4.17");
        Assert.Equal(30, Asked());
        var before = GC.GetAllocatedBytesForCurrentThread();
        var asked = Asked();

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(30, asked);

        int Asked()
        {
            var sum = 0;
            for (var round = 0; round < 10; round++)
            {
                sum += table.NameStartsWith(data, "p2p_pgmap:") ? 1 : 0;
                sum += table.NameEndsWith(map, "/bar4") ? 1 : 0;
                sum += table.Find($"map:{key}/bar4") == map && table.Intern($"dev:{key}") == device ? 1 : 0;
            }

            return sum;
        }
    }

    [Fact]
    public void A_name_with_a_life_has_the_kind_of_its_prefix_and_no_device()
    {
        var table = new ObjectTable();
        var device = table.Intern("dev:h/0000:01:00.2");
        var map = table.Intern("map:h/0000:01:00.2/bar4.3");
        var queue = table.Intern("queue:h/pmem0.12");
        var data = table.Intern("p2pdma:h/0000:01:00.2.5");

        Assert.Equal(device, table.DeviceOf(device));
        Assert.Equal(device, table.DeviceOf(map));
        Assert.Equal((ObjectKind.Queue, 0), (table.Kind(queue), table.DeviceOf(queue)));
        Assert.Equal((ObjectKind.Other, 0), (table.Kind(data), table.DeviceOf(data)));
    }

    [Fact]
    public void Twenty_thousand_lives_are_told_apart()
    {
        var table = new ObjectTable();
        for (var life = 1; life <= 20_000; life++)
        {
            Assert.Equal(life, table.Intern(NameOf(life)));
        }

        for (var life = 1; life <= 20_000; life++)
        {
            Assert.Equal(life, table.Find(NameOf(life)));
            Assert.Equal(NameOf(life), table.Name(life));
        }

        Assert.Equal(0, table.Find(NameOf(20_001)));

        static string NameOf(int life) => $"p2pdma:host-0001/0000:01:00.0.{life}";
    }

    // Goal: names of which only the device and a form are kept are told apart, and belong to whom they did.
    [Fact]
    public void The_names_of_many_devices_are_told_apart()
    {
        string[] forms = ["map:{0}/bar4", "ref:{0}/bar4", "pool:{0}", "p2pdma:{0}.1", "p2p_pgmap:{0}/bar4.1"];
        var table = new ObjectTable();
        for (var device = 0; device < 5000; device++)
        {
            foreach (var form in forms)
            {
                table.Intern(NameOf(form, device));
            }
        }

        Assert.Equal(5000 * (forms.Length + 1), table.LastId);
        for (var device = 0; device < 5000; device++)
        {
            var id = table.Find(NameOf("dev:{0}", device));
            foreach (var form in forms)
            {
                var of = table.Find(NameOf(form, device));
                Assert.Equal(NameOf(form, device), table.Name(of));
                Assert.Equal(form[0] is 'p' && form[1] is '2' ? 0 : id, table.DeviceOf(of));
            }
        }

        Assert.Equal(0, table.Find(NameOf("map:{0}/bar5", 1)));
        Assert.Equal(0, table.Find(NameOf("map:{0}/bar4", 5000)));

        static string NameOf(string form, int device) =>
            form.Replace("{0}", $"host-{device / 100}/0000:{device % 100:x2}:00.0", StringComparison.Ordinal);
    }

    private static Gen<string> OneOf(string[] these) => Gen.Int[0, these.Length - 1].Select(place => these[place]);
}
