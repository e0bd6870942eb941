using System.Xml.Linq;

namespace Fleet.Architecture.Tests;

/// <summary>Who may refer to whom, as the design draws it.</summary>
[Trait("tier", "fast")]
public sealed class ReferenceTests
{
    private static readonly Dictionary<string, string[]> Allowed = new()
    {
        ["Kernel"] = [],
        ["Protocol"] = ["Kernel"],
        ["Checking"] = ["Kernel"],
        ["Simulation"] = ["Kernel", "Protocol", "Checking"],
        ["Storage"] = ["Kernel", "Protocol"],
        ["Contracts"] = ["Kernel", "Protocol"],
        ["Shells"] = ["Kernel", "Protocol", "Contracts"],
        ["Silo"] = ["Kernel", "Protocol", "Contracts", "Shells", "Storage", "Checking"],
        ["Client"] = ["Kernel", "Protocol", "Contracts", "Silo", "Storage", "Checking", "Simulation"],
    };

    [Fact]
    public void Every_project_refers_only_to_what_the_design_allows()
    {
        foreach (var (name, document) in Repository.Projects())
        {
            if (Allowed.TryGetValue(name, out var allowed))
            {
                Assert.Empty(References(document).Except(allowed).Select(other => $"{name} refers to {other}"));
            }
        }
    }

    [Fact]
    public void Every_project_of_the_design_exists() =>
        Assert.Empty(Allowed.Keys.Except(Repository.Projects().Select(project => project.Name)));

    // Goal: the rule above can fail.
    [Fact]
    public void A_forbidden_reference_would_be_seen()
    {
        var planted = XDocument.Parse(
            "<Project><ItemGroup><ProjectReference Include=\"../Storage/Storage.csproj\" /></ItemGroup></Project>");
        Assert.Equal(["Storage"], References(planted).Except(Allowed["Kernel"]));
    }

    [Fact]
    public void Npgsql_and_DuckDB_are_named_by_Storage_and_its_tests_only()
    {
        var users = from project in Repository.Projects()
                    from package in Packages(project.Document)
                    where package is "Npgsql" or "DuckDB.NET.Data.Full"
                    select project.Name;
        Assert.Empty(users.Except(["Storage", "Storage.Tests", "loadtests", "Silo.Tests", "Client.Tests"]));
    }

    [Fact]
    public void Versions_stand_in_one_place()
    {
        var local = from project in Repository.Projects()
                    from reference in project.Document.Descendants("PackageReference")
                    where reference.Attribute("Version") is not null || reference.Element("Version") is not null
                    select $"{project.Name}: {reference.Attribute("Include")?.Value}";
        Assert.Empty(local);
    }

    [Fact]
    public void Every_package_has_its_reason()
    {
        var reasons = string.Concat(Repository.Files(".md")
            .Where(path => path.Contains("/docs/decisions/", StringComparison.Ordinal)).Select(File.ReadAllText));
        var central = XDocument.Load(Path.Combine(Repository.Root, "Directory.Packages.props"));
        var names = central.Descendants("PackageVersion").Select(version => version.Attribute("Include")!.Value);
        Assert.Empty(names.Where(name => !reasons.Contains($"`{name}`", StringComparison.Ordinal)));
    }

    /// <summary>
    /// What the compiler sees; a project that is only carried along to run time has an alias that nobody uses.
    /// </summary>
    private static IEnumerable<string> References(XDocument project) =>
        project.Descendants("ProjectReference")
            .Where(reference => reference.Attribute("Aliases")?.Value != "RunTimeOnly")
            .Select(reference => Path.GetFileNameWithoutExtension(reference.Attribute("Include")!.Value));

    private static IEnumerable<string> Packages(XDocument project) =>
        project.Descendants("PackageReference").Select(reference => reference.Attribute("Include")!.Value);
}
