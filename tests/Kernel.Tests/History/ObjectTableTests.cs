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
